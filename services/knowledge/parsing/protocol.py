"""What helper and service say to each other: JSON lines, nothing that could run.

What the service makes of a child's messages.

What a parser sends, kept as it came: a few MB in RAM, the rest in a file without a name, read when asked for.
"""

from __future__ import annotations

import json
import tempfile
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

import structlog

from services.core.errors import (
    BadInputError,
    CancelledError,
    ErrorKind,
    MillpondError,
    NotFoundError,
    StorageError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from services.core.i18n import _
from services.knowledge.types import ChunkDraft, JobProgress, Section

# How a child ends that has no memory left to say so.
EXIT_OUT_OF_MEMORY = 77
# What a megabyte of text may become on the wire: sections, overlapping chunks, terms, names.
WIRE_FACTOR = 8
_ERRORS: dict[str, type[MillpondError]] = {
    ErrorKind.BAD_INPUT.value: BadInputError,
    ErrorKind.NOT_FOUND.value: NotFoundError,
    ErrorKind.TOO_LARGE.value: TooLargeError,
    ErrorKind.TIMED_OUT.value: TimedOutError,
    ErrorKind.CANCELLED.value: CancelledError,
    ErrorKind.UNAVAILABLE.value: UnavailableError,
}
MEGABYTE = 1024 * 1024
T = TypeVar("T")
# A file of ordinary size never touches the disk.
IN_MEMORY_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file contains. `pages` counts PDF pages or slides, 0 for formats without pages.

    Of a large file the sections and chunks are on disk until they are asked for.
    """

    media_type: str
    pages: int
    sections: Sequence[Section]
    chunks: Sequence[ChunkDraft]


def line(kind: str, *values: Any) -> bytes:
    """Return one message: its kind and its values."""
    return json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def kind_of(message: bytes) -> str:
    """Return the kind of a message without reading the rest of it."""
    return message[2 : message.index(b'"', 2)].decode("ascii")


def values_of(message: bytes) -> list[Any]:
    """Return the values of a message."""
    values: list[Any] = json.loads(message)
    return values[1:]


def section_line(section: Section) -> bytes:
    """Return a section as a message."""
    return line("section", section.text, section.page, section.sheet, section.heading)


def chunk_line(draft: ChunkDraft) -> bytes:
    """Return a chunk draft as a message."""
    return line("chunk", draft.text, draft.tokens, draft.terms, draft.page, draft.sheet, draft.heading)


def error_line(error: MillpondError, trace: str = "") -> bytes:
    """Return an error as a message; `trace` is for the log alone."""
    return line("error", error.kind.value, error.message, error.hint, trace)


def as_section(values: Sequence[Any]) -> Section:
    """Return the section that a message carries."""
    text, page, sheet, heading = values
    return Section(text, page, sheet, tuple(heading))


def as_chunk(values: Sequence[Any]) -> ChunkDraft:
    """Return the chunk draft that a message carries."""
    text, tokens, terms, page, sheet, heading = values
    return ChunkDraft(text, tokens, terms, page, sheet, tuple(heading))


def as_error(values: Sequence[Any]) -> MillpondError:
    """Return the error that a message carries."""
    kind, message, hint, _trace = values
    return _ERRORS.get(kind, BadInputError)(message, hint)


class Result(Protocol):
    """Takes the messages of one job."""

    complete: bool
    error: MillpondError | None

    def take(self, message: bytes) -> None:
        """Take one message, without its line end."""


class Parsed:
    """Gathers the sections and chunks of a file."""

    def __init__(self, on_progress: Callable[[JobProgress], None], directory: Path) -> None:
        self.complete = False
        self.error: MillpondError | None = None
        self._on_progress = on_progress
        self._sections: Spool[Section] = Spool(as_section, directory)
        self._chunks: Spool[ChunkDraft] = Spool(as_chunk, directory)
        self._end: list[Any] = []

    def take(self, message: bytes) -> None:
        kind = kind_of(message)
        if kind == "chunk":
            self._chunks.append(message)
        elif kind == "section":
            self._sections.append(message)
        elif kind == "progress":
            self._on_progress(JobProgress(*values_of(message)))
        elif kind == "error":
            self.error = _error(message)
        elif kind == "end":
            self._end = values_of(message)
            self.complete = True

    def file(self) -> ParsedFile:
        """Return everything, once it is complete."""
        media_type, pages = self._end
        return ParsedFile(media_type, pages, self._sections, self._chunks)

    def close(self) -> None:
        """Give up what was gathered."""
        self._sections.close()
        self._chunks.close()


class Picture:
    """Takes a page as PNG."""

    def __init__(self) -> None:
        self.complete = False
        self.error: MillpondError | None = None
        self.data = b""

    def take(self, message: bytes) -> None:
        kind = kind_of(message)
        if kind == "error":
            self.error = _error(message)
        elif kind == "png":
            self.data = bytes.fromhex(values_of(message)[0])
            self.complete = True


class LineReader:
    """Cuts what arrives into messages, and stops when there is more than an honest file yields."""

    def __init__(self, output_mb: int) -> None:
        self._room = output_mb * MEGABYTE * WIRE_FACTOR
        self._buffer = bytearray()

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete with `data`.

        Raises:
            TooLargeError: there was too much.
        """
        self._room -= len(data)
        if self._room < 0:
            raise TooLargeError(_("Reading the file yields too much output."), _("Split it into smaller files."))
        searched = len(self._buffer)
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", max(start, searched))) >= 0:
            message = bytes(self._buffer[start:end])
            start = end + 1
            yield message
        del self._buffer[:start]


def _error(message: bytes) -> MillpondError:
    values = values_of(message)
    error = as_error(values)
    structlog.get_logger(__name__).info("file not read", kind=error.kind.value, message=error.message, trace=values[3])
    return error


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
