"""Make sure that there are the programs that the files of `deploy` are tested with: those on PATH, else Debian's
packages; else say so clearly.

The tests that need them are skipped without, so that everything else can still be checked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# The package of each program.
PROGRAMS = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "keepalived": "keepalived",
}
# Where Debian puts those of the administrator, which are not on everybody's PATH.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


def missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


def install_debian_packages(programs: list[str]) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    packages = sorted({PROGRAMS[program] for program in programs})
    print(f"Installing from Debian's packages: {', '.join(packages)}")
    # The packages would start services of their own; nothing of that is wanted here.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        if subprocess.run([apt, *arguments], check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
            return


def main() -> int:
    if programs := missing():
        install_debian_packages(programs)
    for program, package in PROGRAMS.items():
        found = shutil.which(program, path=PATH)
        print(f"{program}: {found or f'missing; its tests are skipped (apt-get install {package})'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
