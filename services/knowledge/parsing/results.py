"""Results of parsing on the service's side: messages of a child collected into a parsed file or a page image."""

from __future__ import annotations

import base64
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

from services.core.errors import MillpondError, StorageError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.parsing.protocol import (
    decode_chunk,
    decode_error,
    decode_page,
    decode_section,
    message_kind,
    message_values,
)
from services.knowledge.recognition.recognized import RecognizedPage
from services.knowledge.types import ChunkDraft, JobProgress, Section

# Most bytes of messages per byte of text: sections, overlapping chunks, terms, names.
_MESSAGE_FACTOR = 8
# Files of ordinary size never touch the disk.
IN_MEMORY_BYTES = 2 * MEGABYTE
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The content of a file. `pages` counts PDF pages or slides, 0 for formats without pages.

    Sections and chunks of a large file are on disk and decoded when accessed. `notes` are (kind, count, place), see
    `services.knowledge.notes`. `recognized` are the pages read by text recognition, `recognition` the sum of them:
    count, pages, mean and least confidence and the page of that, or None.
    """

    media_type: str
    pages: int
    sections: Sequence[Section]
    chunks: Sequence[ChunkDraft]
    notes: Sequence[Sequence[Any]] = ()
    recognized: Sequence[RecognizedPage] = ()
    recognition: Sequence[Any] | None = None


class AttachmentReceiver(Protocol):
    """Takes in the files that a parsed file brings; `reset` drops them all, before the file is parsed once more."""

    def begin(self, name: str) -> None:
        """Begin a file called `name` by its sender."""

    def write(self, data: bytes) -> None:
        """Append to the file."""

    def end(self, *, keep: bool) -> None:
        """End the file, or drop it."""

    def reset(self) -> None:
        """Drop all files."""


class JobResult(Protocol):
    """Collects the messages of one job; `complete` once the last one arrived."""

    complete: bool
    error: MillpondError | None

    def receive(self, message: bytes) -> None:
        """Process one message, without its line end."""


class ParseResult:
    """Collects the sections and chunks of a file."""

    def __init__(
        self,
        on_progress: Callable[[JobProgress], None],
        directory: Path,
        attachments: AttachmentReceiver | None = None,
        on_recognized: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_recognized = on_recognized
        self._attachments = attachments
        self.complete = False
        self.error: MillpondError | None = None
        self._on_progress = on_progress
        self._sections: Spool[Section] = Spool(decode_section, directory)
        self._chunks: Spool[ChunkDraft] = Spool(decode_chunk, directory)
        self._pages: Spool[RecognizedPage] = Spool(decode_page, directory)
        self._end: list[Any] = []

    def receive(self, message: bytes) -> None:
        kind = message_kind(message)
        if kind == "chunk":
            self._chunks.append(message)
        elif kind == "section":
            self._sections.append(message)
        elif kind == "piece":
            self._receiver.write(base64.b64decode(message_values(message)[0]))
        elif kind == "attachment":
            self._receiver.begin(str(message_values(message)[0]))
        elif kind == "attached":
            self._receiver.end(keep=bool(message_values(message)[0]))
        elif kind == "progress":
            self._on_progress(JobProgress(*message_values(message)))
        elif kind == "recognized":
            if len(message_values(message)) > 1:  # else nothing was found on the page
                self._pages.append(message)
            self._on_recognized()
        elif kind == "error":
            self.error = _logged_error(message)
        elif kind == "end":
            self._end = message_values(message)
            self.complete = True

    @property
    def _receiver(self) -> AttachmentReceiver:
        if self._attachments is None:
            raise ValueError("an attachment came that nobody asked for")
        return self._attachments

    def file(self) -> ParsedFile:
        """Return the parsed file, once it is complete."""
        media_type, pages, notes, recognition = self._end
        return ParsedFile(media_type, pages, self._sections, self._chunks, notes, self._pages, recognition)

    def close(self) -> None:
        """Discard what was collected."""
        self._sections.close()
        self._chunks.close()
        self._pages.close()
        if self._attachments is not None:
            self._attachments.reset()


class RenderResult:
    """Receives a page as PNG."""

    def __init__(self) -> None:
        self.complete = False
        self.error: MillpondError | None = None
        self.data = b""

    def receive(self, message: bytes) -> None:
        kind = message_kind(message)
        if kind == "error":
            self.error = _logged_error(message)
        elif kind == "png":
            self.data = bytes.fromhex(message_values(message)[0])
            self.complete = True


class MessageReader:
    """Splits a byte stream into messages, and refuses more than a legitimate file yields."""

    def __init__(self, request: dict[str, Any]) -> None:
        _count, attached_bytes, _send = request.get("attachments") or (0, 0, False)
        # In base64 and lines of JSON an attachment takes less than one and a half times its size.
        self._remaining = request["output_mb"] * MEGABYTE * _MESSAGE_FACTOR + attached_bytes * 3 // 2
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that `data` completes.

        Raises:
            TooLargeError: the output exceeds its limit.
        """
        self._remaining -= len(data)
        if self._remaining < 0:
            raise TooLargeError(_("Reading the file yields too much output."), _("Split it into smaller files."))
        searched = len(self._buffer)
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", max(start, searched))) >= 0:
            message = bytes(self._buffer[start:end])
            start = end + 1
            yield message
        del self._buffer[:start]


def _logged_error(message: bytes) -> MillpondError:
    values = message_values(message)
    error = decode_error(values)
    structlog.get_logger(__name__).info("file not read", kind=error.kind.value, message=error.message, trace=values[3])
    return error


class Spool(Sequence[T]):
    """A sequence of encoded messages, in RAM or in an anonymous file, decoded when accessed. Thread-safe.

    Args:
        decode: makes an item of a message's values.
        directory: the folder of the file if one is needed; it is unlinked and freed with the spool.
    """

    def __init__(self, decode: Callable[[Sequence[Any]], T], directory: Path | None = None) -> None:
        self._decode = decode
        # Closed by `close`, else by the finalizer.
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            IN_MEMORY_BYTES, dir=str(directory) if directory and directory.is_dir() else None
        )
        self._ends = array("Q")
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, self._file.close)

    def append(self, message: bytes) -> None:
        """Append a message.

        Raises:
            StorageError: the disk is full.
        """
        try:
            with self._lock:
                self._file.seek(self._ends[-1] if self._ends else 0)
                self._file.write(message)
                self._ends.append(self._file.tell())
        except OSError as error:
            raise StorageError(
                _("The text of the file cannot be stored while it is processed: {reason}.").format(
                    reason=error.strerror
                ),
                _("Free some space on the disk and try again."),
            ) from error

    def close(self) -> None:
        """Free memory and disk; the spool cannot be read afterwards."""
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
