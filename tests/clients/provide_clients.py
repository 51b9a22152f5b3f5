"""Make sure that there are the clients that are no packages of the tests' own environment: the official client in
JavaScript, LlamaIndex in an environment of its own, and curl, and the identity provider of the tests; else say so
clearly.

They lie beside the tests' environment, and are installed again when their versions change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = Path(sys.prefix) / "clients"
LLAMAINDEX = CLIENTS / "llamaindex" / "bin" / "python"
NODE_FOLDER = CLIENTS / "node"
PROVIDER_FOLDER = CLIENTS / "oidc"
# Where the versions of what Node.js runs stand.
NODE_VERSIONS = {NODE_FOLDER: HERE, PROVIDER_FOLDER: HERE.parent / "identity" / "oidc"}
PROGRAMS = {"node": "nodejs", "npm": "npm", "curl": "curl"}  # with the names of Debian's packages


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def is_installed(name: str) -> bool:
    """Return whether a client is there in the versions that its list names."""
    mark = CLIENTS / f"{name}.installed"
    return mark.is_file() and mark.read_text() == _versions(name)


def _versions(name: str) -> str:
    listed = NODE_VERSIONS.get(CLIENTS / name, HERE)
    files = (
        [HERE / "llamaindex.txt"] if name == "llamaindex" else [listed / "package.json", listed / "package-lock.json"]
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def install_debian_packages(programs: list[str]) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    print(f"Installing {', '.join(programs)} from Debian's packages")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = [PROGRAMS[program] for program in programs]
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        if subprocess.run([apt, *arguments], check=False, env=environment, stdout=subprocess.DEVNULL).returncode:
            return


def install_llamaindex() -> bool:
    print("Installing LlamaIndex's client")
    venv.create(CLIENTS / "llamaindex", with_pip=True, clear=True)
    pip = [str(LLAMAINDEX), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    return subprocess.run([*pip, "-r", str(HERE / "llamaindex.txt")], check=False).returncode == 0


def install_node_client() -> bool:
    print("Installing the official client in JavaScript")
    return _install_node_packages(NODE_FOLDER)


def install_provider() -> bool:
    print("Installing an identity provider")
    return _install_node_packages(PROVIDER_FOLDER)


def _install_node_packages(folder: Path) -> bool:
    npm = shutil.which("npm")
    if npm is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_VERSIONS[folder] / name, folder / name)
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    return subprocess.run(command, check=False, cwd=folder, stdout=subprocess.DEVNULL).returncode == 0


def main() -> int:
    if missing_programs():
        install_debian_packages(missing_programs())
    CLIENTS.mkdir(exist_ok=True)
    failed = missing_programs()
    installers = {"llamaindex": install_llamaindex, "node": install_node_client, "oidc": install_provider}
    for name, install in installers.items():
        if is_installed(name):
            continue
        if install():
            (CLIENTS / f"{name}.installed").write_text(_versions(name))
        else:
            failed.append(name)
    if failed:
        print(
            f"The tests of clients need {', '.join(failed)}, which could not be installed.\n"
            "Install nodejs, npm and curl (Debian: apt-get install nodejs npm curl) and look at the messages above.",
            file=sys.stderr,
        )
        return 1
    print(f"Clients: {CLIENTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
