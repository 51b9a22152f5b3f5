"""What a parser sends, kept as it came: a few MB in RAM, the rest in a file without a name, read when asked for."""

from __future__ import annotations

import json
import tempfile
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from services.errors import StorageError
from services.texts import _

T = TypeVar("T")
# A file of ordinary size never touches the disk.
IN_MEMORY_BYTES = 2 * 1024 * 1024


class Spool(Sequence[T]):
    """A sequence of messages that are decoded one at a time; several threads may read it.

    Args:
        decode: makes an item of a message's values.
        directory: where the file is if one is needed; it has no name there and goes when the spool goes.
    """

    def __init__(self, decode: Callable[[Sequence[Any]], T], directory: Path | None = None) -> None:
        self._decode = decode
        # Closed by `close` or by the finalizer: whoever holds a spool need not think of it.
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            IN_MEMORY_BYTES, dir=str(directory) if directory and directory.is_dir() else None
        )
        self._ends = array("Q")
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, self._file.close)

    def append(self, line: bytes) -> None:
        """Add a message.

        Raises:
            StorageError: the disk is full.
        """
        try:
            with self._lock:
                self._file.seek(self._ends[-1] if self._ends else 0)
                self._file.write(line)
                self._ends.append(self._file.tell())
        except OSError as error:
            raise StorageError(
                _("The text of the file cannot be kept while it is processed: {reason}.").format(reason=error.strerror),
                _("Free some space on the disk and try again."),
            ) from error

    def close(self) -> None:
        """Give back memory and disk; the spool cannot be read any more."""
        self._finalizer()

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start = self._ends[position - 1] if position else 0
        with self._lock:
            self._file.seek(start)
            data = self._file.read(self._ends[position] - start)
        _kind, *values = json.loads(data)
        return self._decode(values)

    def __iter__(self) -> Iterator[T]:
        return (self[position] for position in range(len(self)))
