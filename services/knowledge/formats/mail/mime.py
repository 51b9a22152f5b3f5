"""The parts of a MIME message (RFC 2045, 2046): their headers, where they lie in the file, and their decoded content.

The file is not read as a whole: of a large attachment only the place is kept, and its content is decoded piece by
piece. Headers and parameters are `email`'s; it gets them as text, since it loses bytes that are not ASCII.
"""

from __future__ import annotations

import binascii
import mimetypes
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from typing import BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.mail.header_text import decode_base64, decode_words
from services.knowledge.notes import NoteCollector

LONGEST_LINE = 65_536
_MOST_HEADER_BYTES = 1_048_576
# Far beyond what a mail has: against files that are made to take long.
_MOST_PARTS = 20_000
_MOST_DEPTH = 30
_PIECE_BYTES = 57_000
_HEADER_LINE = re.compile(rb"[!-9;-~]{1,200}[ \t]*:|[ \t]")


@dataclass(slots=True)
class Part:
    """A part: its headers, where its body lies in the file (`start` to `end`), the parts inside, its media type."""

    stream: BinaryIO
    headers: Message
    start: int
    end: int
    media_type: str
    children: list[Part] = field(default_factory=list)

    def header(self, name: str) -> str:
        """Return the decoded text of a header on one line; empty if there is none."""
        return one_line(str(self.headers.get(name, "")))

    def parameter(self, name: str) -> str:
        """Return a parameter of the content type."""
        return str(self.headers.get_param(name, "") or "")

    @property
    def disposition(self) -> str:
        """How the part is meant: "attachment", "inline" or nothing."""
        return self.headers.get_content_disposition() or ""

    @property
    def file_name(self) -> str:
        """The name of the file that the part carries, empty if it has none."""
        try:
            found = self.headers.get_filename()
        except (ValueError, LookupError):  # a parameter that `email` cannot put together
            found = None
        return one_line(found or "")

    def default_name(self) -> str:
        """Return a name for a part without one."""
        return "attachment" + (mimetypes.guess_extension(self.media_type) or "")

    def content(self) -> Iterator[bytes]:
        """Yield the decoded content, piece by piece."""
        encoding = str(self.headers.get("content-transfer-encoding", "")).strip().lower()
        if encoding == "base64":
            yield from _base64(self.raw())
        elif encoding == "quoted-printable":
            yield from map(quopri.decodestring, _whole_lines(self.raw()))
        elif encoding in {"x-uuencode", "uuencode", "x-uue"}:
            yield from map(_uudecode, self.lines())
        else:
            yield from self.raw()

    def raw(self) -> Iterator[bytes]:
        """Yield the bytes of the body as they stand in the file."""
        at = self.start
        while at < self.end:
            self.stream.seek(at)
            data = self.stream.read(min(_PIECE_BYTES, self.end - at))
            if not data:
                return
            at += len(data)
            yield data

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the body with their ends; nothing else may read the file meanwhile."""
        at = self.start
        self.stream.seek(at)
        while at < self.end:
            line = self.stream.readline(min(LONGEST_LINE, self.end - at))
            if not line:
                return
            at += len(line)
            yield line

    def text(self, most_bytes: int, notes: NoteCollector) -> str:
        """Return the content as text: in the declared encoding if it is in that one, else in the likeliest one."""
        from services.knowledge.formats.encoding.encodings import decode

        data = self.data(most_bytes)
        if not data.strip():
            return ""
        if "utf-7" in self.parameter("charset").lower():  # of old mail alone, so nothing else knows it
            return data.decode("utf-7", errors="replace").replace("\r\n", "\n")
        try:
            decoded = decode(data, self.parameter("charset"))
        except BadInputError:
            return data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\x00", "")
        decoded.add_notes(notes)
        return decoded.text

    def data(self, most_bytes: int) -> bytes:
        """Return the content as bytes, at most `most_bytes` of them."""
        parts: list[bytes] = []
        size = 0
        for piece in self.content():
            parts.append(piece)
            size += len(piece)
            if size > most_bytes:
                break
        return b"".join(parts)[:most_bytes]


@dataclass(slots=True)
class _Budget:
    parts: int = _MOST_PARTS


def read_message(stream: BinaryIO, start: int, end: int) -> Part:
    """Return a message that lies between two places of a file, with all its parts.

    Raises:
        BadInputError: it has more parts than any mail.
    """
    return _read_part(stream, start, end, "text/plain", 0, _Budget())


def _read_part(stream: BinaryIO, start: int, end: int, default: str, depth: int, budget: _Budget) -> Part:  # noqa: PLR0917
    budget.parts -= 1
    if budget.parts < 0:
        raise BadInputError(
            _("The mail has more than {count} parts and was not read.").format(count=_MOST_PARTS),
            _("Save its attachments and upload them one by one."),
        )
    headers, body = read_headers(stream, start, end)
    media_type = headers.get_content_type() if headers.get("content-type") else default
    part = Part(stream, headers, body, end, media_type)
    boundary = part.parameter("boundary").rstrip()
    if media_type.startswith("multipart/") and boundary and depth < _MOST_DEPTH:
        inner = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
        part.children = [
            _read_part(stream, begin, until, inner, depth + 1, budget) for begin, until in _split(part, boundary)
        ]
    if media_type.startswith("multipart/") and not part.children:
        part.media_type = "text/plain"  # without a boundary nobody can tell its parts: its text is what there is
    return part


def read_headers(stream: BinaryIO, start: int, end: int) -> tuple[Message, int]:
    """Return the headers that begin at `start`, and where the body begins."""
    stream.seek(start)
    block: list[bytes] = []
    at = start
    while at < end and at - start < _MOST_HEADER_BYTES:
        line = stream.readline(min(LONGEST_LINE, end - at))
        if not line.strip():
            at += len(line)
            break
        if not _HEADER_LINE.match(line):
            if block:  # a body that follows without a blank line
                break
            return Message(), start
        at += len(line)
        block.append(line)
    return HeaderParser().parsestr(_header_text(b"".join(block))), at


def _header_text(block: bytes) -> str:
    from services.knowledge.formats.encoding.encodings import decode

    try:
        return decode(block).text
    except BadInputError:
        return block.decode("cp1252", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _split(part: Part, boundary: str) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a multipart body lie; one that is cut off ends with the body."""
    mark = b"--" + boundary.encode("utf-8", "replace")
    found: list[tuple[int, int]] = []
    begin = -1
    at = part.start
    last = b""
    for line in part.lines():
        rest = line[len(mark) :].strip() if line.startswith(mark) else None
        if rest is not None and rest in {b"", b"--"}:
            if begin >= 0:
                # The line end before a boundary belongs to the boundary.
                found.append((begin, max(begin, at - (2 if last.endswith(b"\r\n") else 1))))
            begin = at + len(line)
            if rest:
                begin = -1
                break
        at += len(line)
        last = line
    if begin >= 0 and begin < part.end:
        found.append((begin, part.end))
    yield from found


def one_line(text: str) -> str:
    """Return a header's text decoded, on one line."""
    return " ".join(decode_words(text).split())


def _base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        kept = rest + re.sub(rb"[^A-Za-z0-9+/=]", b"", piece)
        usable = len(kept) - len(kept) % 4
        yield decode_base64(kept[:usable])
        rest = kept[usable:]
    if rest:
        yield decode_base64(rest)


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces that end with a line, since quoted-printable encodes what stands at the end of one."""
    rest = b""
    for piece in pieces:
        cut = (rest + piece).rfind(b"\n") + 1
        if cut:
            yield (rest + piece)[:cut]
        rest = (rest + piece)[cut:]
    if rest:
        yield rest


def _uudecode(line: bytes) -> bytes:
    line = line.rstrip(b"\r\n")
    if not line or line.startswith((b"begin ", b"end")):
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
