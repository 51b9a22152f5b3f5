"""Make sure that there are the programs that the files of `deploy` and the shared cache are tested with: those on PATH,
else Debian's packages; else say so clearly.

The tests that need them are skipped without, so that everything else can still be checked. With names as arguments:
those programs instead, which longer proofs need.
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
    "redis-server": "redis-server",
}
OF_PROOFS = {"etcd": "etcd-server", "faketime": "faketime", "buildah": "buildah", "debootstrap": "debootstrap"}
# Where Debian puts those of the administrator, which are not on everybody's PATH.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


def missing(programs: dict[str, str]) -> list[str]:
    return [program for program in programs if shutil.which(program, path=PATH) is None]


def install_debian_packages(packages: list[str]) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    print(f"Installing from Debian's packages: {', '.join(packages)}")
    # The packages would start services of their own; nothing of that is wanted here.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        if subprocess.run([apt, *arguments], check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
            return


def main() -> int:
    names = sys.argv[1:]
    programs = {name: OF_PROOFS[name] for name in names} if names else PROGRAMS
    if absent := missing(programs):
        install_debian_packages(sorted({programs[program] for program in absent}))
    for program, package in programs.items():
        found = shutil.which(program, path=PATH)
        lacking = "it is needed" if names else "its tests are skipped"
        print(f"{program}: {found or f'missing; {lacking} (apt-get install {package})'}")
    return int(bool(names and missing(programs)))


if __name__ == "__main__":
    sys.exit(main())
