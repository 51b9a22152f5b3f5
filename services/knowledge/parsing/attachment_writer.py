"""Files that another file brings, on their way from the parser's child to the service: decided on, then sent in pieces.

A file that cannot be read, or is more than one file may bring, is not sent: its name becomes a note.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from services.core.errors import MillpondError
from services.core.machine import MEGABYTE
from services.knowledge.formats import detect
from services.knowledge.formats.registry import FORMATS
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.parsing import protocol

# Held to decide what the file is; of a larger one its name decides where its first bytes do not.
HELD_BYTES = 8 * MEGABYTE
PIECE_BYTES = 48 * 1024
_SAMPLE_BYTES = 64 * 1024
_SHOWN_NAME = 80
# Of a zip file that is larger than what is held, the ending has to say that it is a document.
_ZIP_DOCUMENTS = (
    *(".docx", ".docm", ".dotx", ".pptx", ".pptm", ".ppsx", ".xlsx", ".xlsm"),
    *(".odt", ".ods", ".odp", ".ott", ".epub"),
)


@dataclass(frozen=True, slots=True)
class AttachmentLimits:
    """How many files one file may bring, how many bytes they may take together, and whether they are sent at all."""

    count: int
    size_bytes: int
    send: bool = True


@dataclass(slots=True)
class AttachmentWriter:
    """Sends attachments to the service within limits, or notes them."""

    write: Callable[[bytes], None]
    limits: AttachmentLimits
    notes: NoteCollector
    pictures: bool = False  # whether those are read
    _sent: int = 0
    _bytes: int = field(default=0)

    def __call__(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Send a file; `name` is as its sender chose it."""
        pieces = iter((data,)) if isinstance(data, bytes) else iter(data)
        if self._sent >= self.limits.count:
            self._note(NoteKind.SURPLUS_ATTACHMENTS, name)
            return
        held, rest = _held(pieces)
        if not _readable(held, name, whole=rest is None, pictures=self.pictures):
            self._note(NoteKind.UNREAD_ATTACHMENTS, name)
            return
        if self.limits.send:
            self.write(protocol.encode_message("attachment", name))
        complete = self._send(chain((held,), rest or ()))
        if self.limits.send:
            self.write(protocol.encode_message("attached", complete))
        if complete:
            self._sent += 1
        else:
            self._note(NoteKind.SURPLUS_ATTACHMENTS, name)

    def _send(self, pieces: Iterable[bytes]) -> bool:
        """Send the content; false if it is more than may be sent."""
        size = self._bytes
        for piece in pieces:
            size += len(piece)
            if size > self.limits.size_bytes:
                return False
            if not self.limits.send:
                continue
            for start in range(0, len(piece), PIECE_BYTES):
                text = base64.b64encode(piece[start : start + PIECE_BYTES]).decode("ascii")
                self.write(protocol.encode_message("piece", text))
        self._bytes = size
        return True

    def _note(self, kind: NoteKind, name: str) -> None:
        shown = " ".join("".join(c if c.isprintable() else " " for c in name).split())
        self.notes.add(kind, place=shown[:_SHOWN_NAME] or "?")


def _held(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """Return the first bytes of a file, and the pieces after them; None: these are all."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= HELD_BYTES:
            return b"".join(parts), pieces
    return b"".join(parts), None


def _readable(held: bytes, name: str, *, whole: bool, pictures: bool) -> bool:
    """Whether a file is of a format that is read, as far as its beginning tells."""
    if not held or (detect.picture_kind(held) and not pictures):
        return False
    if not whole and held.startswith(b"PK\x03\x04"):  # the list of its parts is at its end
        return name.lower().endswith(_ZIP_DOCUMENTS)
    try:
        kind = detect.detect(io.BytesIO(held), name)
    except MillpondError:
        return False
    if not FORMATS[kind].media_type.startswith("text/") or kind == "html":
        return True
    return _is_text(held[:_SAMPLE_BYTES])


def _is_text(sample: bytes) -> bool:
    from services.knowledge.formats.encoding.encodings import decode

    try:
        decode(sample)
    except MillpondError:
        return False
    return True
