"""A disk of a few megabytes for a node's data folder, which can be filled: a file system in RAM.

It is mounted in a mount namespace of the drill's own, so that nothing is left of it elsewhere. Root alone can do that.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT

MEGABYTES = 192
RESERVE_MEGABYTES = 16  # below which a node takes no files
_MARK = "DRILL_HAS_MOUNTS_OF_ITS_OWN"
_PIECE = b"\0" * 65536


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own at a folder."""

    folder: Path

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            for size in (len(_PIECE), 1):
                try:
                    while True:
                        file.write(_PIECE[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink(missing_ok=True)


def run_apart(arguments: Sequence[str]) -> None:
    """Go on as the same command in a mount namespace of its own, where that can be had; returns where it cannot be, or
    this process is in one already.
    """
    if os.environ.get(_MARK) or not can_mount():
        return
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.drill", *arguments]
    os.chdir(ROOT)
    os.execvpe("unshare", command, {**os.environ, _MARK: "yes"})


def can_mount() -> bool:
    """Return whether file systems can be mounted in a namespace of one's own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Have a folder be a small disk; None where this process has no mount namespace of its own."""
    if not os.environ.get(_MARK):
        yield None
        return
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=700", "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
