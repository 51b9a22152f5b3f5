"""The private folder of a socket, outside of the data folder: the path of a socket may have 107 bytes at most.

A kill leaves it behind. So it is locked as long as its process lives, and whoever makes the next one removes those that
nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "millpond-"
_LOCK = "lock"


class SocketFolder:
    """A folder that only this user can enter; `remove` deletes it."""

    def __init__(self) -> None:
        _remove_left_over()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700
        # Locked before it has its name: without it nobody takes the folder for left over.
        new = self.path / f"{_LOCK}.new"
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        new.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Delete the folder; safe to call twice."""
        if self._descriptor < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)
        self._descriptor = -1


def _remove_left_over() -> None:
    """Delete the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or in use
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if folder.stat(follow_symlinks=False).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
