"""What the service makes of a child's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import structlog

from services.errors import MillpondError, TooLargeError
from services.knowledge.parsing import wire
from services.knowledge.parsing.spool import Spool
from services.knowledge.parsing.wire import ParsedFile
from services.knowledge.types import ChunkDraft, Progress, Section
from services.texts import _

MEGABYTE = 1024 * 1024


class Result(Protocol):
    """Takes the messages of one job."""

    complete: bool
    error: MillpondError | None

    def take(self, message: bytes) -> None:
        """Take one message, without its line end."""


class Parsed:
    """Gathers the sections and chunks of a file."""

    def __init__(self, on_progress: Callable[[Progress], None], directory: Path) -> None:
        self.complete = False
        self.error: MillpondError | None = None
        self._on_progress = on_progress
        self._sections: Spool[Section] = Spool(wire.as_section, directory)
        self._chunks: Spool[ChunkDraft] = Spool(wire.as_chunk, directory)
        self._end: list[Any] = []

    def take(self, message: bytes) -> None:
        kind = wire.kind_of(message)
        if kind == "chunk":
            self._chunks.append(message)
        elif kind == "section":
            self._sections.append(message)
        elif kind == "progress":
            self._on_progress(Progress(*wire.values_of(message)))
        elif kind == "error":
            self.error = _error(message)
        elif kind == "end":
            self._end = wire.values_of(message)
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
        kind = wire.kind_of(message)
        if kind == "error":
            self.error = _error(message)
        elif kind == "png":
            self.data = bytes.fromhex(wire.values_of(message)[0])
            self.complete = True


class Lines:
    """Cuts what arrives into messages, and stops when there is more than an honest file yields."""

    def __init__(self, output_mb: int) -> None:
        self._room = output_mb * MEGABYTE * wire.WIRE_FACTOR
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
    values = wire.values_of(message)
    error = wire.as_error(values)
    structlog.get_logger(__name__).info("file not read", kind=error.kind.value, message=error.message, trace=values[3])
    return error
