"""Make sure that there are `promtool` and `prometheus`: those on PATH, else Debian's package; else say so clearly.

The tests that need them are skipped without, so that everything else can still be checked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = ("promtool", "prometheus")


def missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def install_debian_package() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    print("Installing Prometheus from Debian's packages")
    # The package would start a service of its own; nothing of that is wanted here.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "prometheus"]):
        if subprocess.run([apt, *arguments], check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
            return


def main() -> int:
    if missing():
        install_debian_package()
    for program in PROGRAMS:
        print(f"{program}: {shutil.which(program) or 'missing; its tests are skipped (apt-get install prometheus)'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
