"""Mail of Outlook (msg): properties in a compound file, as MS-OXMSG and MS-OXPROPS describe them.

Streams are read one by one, as they are needed, and one that is missing or damaged costs only itself. A message inside
a message is no file of its own: its text follows that of the outer one.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.mail.mail import Body, encrypted_mail, html_body, message_sections, preferred, with_head
from services.knowledge.formats.mail.mime import one_line, read_message
from services.knowledge.formats.reading import LEAST_SCAN_BYTES, Reading
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

# Property ids.
_CLASS, _SUBJECT, _BODY, _HTML, _RTF = 0x001A, 0x0037, 0x1000, 0x1013, 0x1009
_SENDER = ((0x0C1A, 0x5D01), (0x0042, 0x5D02), (0x0C1A, 0x0C1F), (0x0042, 0x0065))
_SUBMITTED, _DELIVERED = 0x0039, 0x0E06
_MESSAGE_CODEPAGE, _INTERNET_CODEPAGE = 0x3FFD, 0x3FDE
_NAME, _SMTP, _ADDRESS, _RECIPIENT_TYPE = 0x3001, 0x39FE, 0x3003, 0x0C15
_LONG_FILE_NAME, _FILE_NAME, _DATA, _MIME_TYPE = 0x3707, 0x3704, 0x3701, 0x370E
_UNICODE, _STRING8, _BINARY, _OBJECT = 0x001F, 0x001E, 0x0102, 0x000D
_PROPERTIES = "__properties_version1.0"
# Where the entries begin in the properties of the outermost message, of one inside, and of recipients and attachments.
_ROOT_OFFSET, _INNER_OFFSET, _PART_OFFSET = 32, 24, 8
_MOST_DEPTH = 8
_FILETIME_START = datetime(1601, 1, 1, tzinfo=UTC)
_CODEPAGES = {65001: "utf-8", 936: "gb18030", 54936: "gb18030", 950: "big5", 20127: "utf-8", 28591: "cp1252"}
_CODEPAGES |= {20866: "koi8-r", 21866: "koi8-u", 51932: "euc_jp", 50220: "iso2022_jp", 51949: "cp949"}
_CODEPAGES |= {28590 + number: f"iso8859-{number}" for number in range(2, 16)}


@dataclass(slots=True)
class _Storage:
    """A folder of the compound file with the properties of a message, a recipient or an attachment."""

    ole: Any
    path: tuple[str, ...]
    offset: int
    fixed: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entries = self.stream(_PROPERTIES)[self.offset :]
        for at in range(0, len(entries) - 15, 16):
            _kind, number = struct.unpack_from("<HH", entries, at)
            self.fixed[number] = entries[at + 8 : at + 16]

    def stream(self, name: str) -> bytes:
        """Return the bytes of a stream, none if it is missing or damaged."""
        try:
            with self.ole.openstream([*self.path, name]) as stream:
                return bytes(stream.read())
        except (OSError, ValueError, IndexError):
            return b""

    def text(self, number: int) -> str:
        """Return a property that is a text."""
        if data := self.stream(f"__substg1.0_{number:04X}{_UNICODE:04X}"):
            return data.decode("utf-16-le", errors="replace").replace("\0", "")
        data = self.stream(f"__substg1.0_{number:04X}{_STRING8:04X}")
        return data.decode(self.encoding, errors="replace").replace("\0", "")

    def binary(self, number: int) -> bytes:
        """Return a property that is bytes."""
        return self.stream(f"__substg1.0_{number:04X}{_BINARY:04X}")

    def number(self, number: int) -> int:
        """Return a property that is a number, 0 if it is missing."""
        return int(struct.unpack("<I", self.fixed.get(number, bytes(8))[:4])[0])

    def time(self, number: int) -> str:
        """Return a property that is a time as mail headers have it."""
        ticks = int(struct.unpack("<Q", self.fixed.get(number, bytes(8)))[0])
        try:
            return format_datetime(_FILETIME_START + timedelta(microseconds=ticks // 10)) if ticks else ""
        except OverflowError:
            return ""

    @property
    def encoding(self) -> str:
        """The encoding of texts that are not Unicode."""
        return _encoding_of(self.number(_MESSAGE_CODEPAGE) or self.number(_INTERNET_CODEPAGE)) or "cp1252"

    def inside(self, prefix: str) -> list[str]:
        """Return the names of the folders in it that begin with `prefix`, in their order."""
        depth = len(self.path)
        names = {
            entry[depth]
            for entry in self.ole.listdir(streams=True, storages=True)
            if len(entry) > depth and tuple(entry[:depth]) == self.path and entry[depth].startswith(prefix)
        }
        return sorted(names)

    def part(self, name: str, offset: int = _PART_OFFSET) -> _Storage:
        """Return a folder in it."""
        return _Storage(self.ole, (*self.path, name), offset)


def read_msg(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a message.

    Raises:
        BadInputError: it is encrypted or damaged.
    """
    import olefile  # type: ignore[import-untyped]

    try:
        ole = olefile.OleFileIO(stream)
    except (OSError, ValueError, IndexError) as error:
        raise BadInputError(
            _("The message is damaged: its parts cannot be listed."), _("Save it again with Outlook.")
        ) from error
    with ole:
        yield from _message(_Storage(ole, (), _ROOT_OFFSET), reading, 0)


def _message(message: _Storage, reading: Reading, depth: int) -> Iterator[Section]:
    kind = message.text(_CLASS).lower()
    if kind.startswith("ipm.note.smime") and not kind.endswith("multipartsigned"):
        raise encrypted_mail("S/MIME")
    subject = one_line(message.text(_SUBJECT))
    page = message.binary(_HTML)
    encoding = _encoding_of(message.number(_INTERNET_CODEPAGE))
    if not page and (text := message.text(_HTML)):
        page, encoding = text.encode("utf-8", "replace"), "utf-8"
    body = message.text(_BODY).replace("\r\n", "\n").replace("\r", "\n")
    plain = [Body(plain=body)] if body.strip() else []
    pages = [html_body(page, encoding)] if page else []
    if not plain and not pages and (packed := message.binary(_RTF)):
        pages = _rich_body(packed, reading)
    yield from with_head(_head(message, subject), subject, preferred(plain, pages), reading.notes)
    for name in message.inside("__attach_version1.0_"):
        yield from _attachment(message.part(name), reading, depth)


def _rich_body(packed: bytes, reading: Reading) -> list[Body]:
    """Return a body that is there as compressed RTF only; one that is damaged is noted."""
    from compressed_rtf import decompress  # type: ignore[import-untyped]

    from services.knowledge.formats.office.rich_text import read_rtf

    try:
        data = decompress(packed)
    except Exception:  # noqa: BLE001 - the library raises nothing more special for what is damaged
        reading.notes.add(NoteKind.DAMAGED_PARTS)
        return []
    return [Body(list(read_rtf(io.BytesIO(data), reading)))]


def _encoding_of(codepage: int) -> str:
    """Return the encoding of a code page of Windows, an empty text for one that nobody knows."""
    from services.knowledge.formats.encoding.encoding_labels import canonical

    return canonical(_CODEPAGES.get(codepage, f"cp{codepage}")) if codepage else ""


def _head(message: _Storage, subject: str) -> str:
    people: dict[str, list[str]] = {"To": [], "Cc": []}
    for name in message.inside("__recip_version1.0_"):
        recipient = message.part(name)
        shown = _person(recipient.text(_NAME), recipient.text(_SMTP) or recipient.text(_ADDRESS))
        kind = {1: "To", 2: "Cc"}.get(recipient.number(_RECIPIENT_TYPE) & 0xF)
        if kind and shown:
            people[kind].append(shown)
    sender = ""
    for name_id, address_id in _SENDER:
        sender = sender or (
            _person(message.text(name_id), message.text(address_id)) if message.text(address_id) else ""
        )
    lines = {
        "Subject": subject,
        "From": sender or message.text(_SENDER[0][0]),
        "To": ", ".join(people["To"]),
        "Cc": ", ".join(people["Cc"]),
        "Date": message.time(_SUBMITTED) or message.time(_DELIVERED),
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def _person(name: str, address: str) -> str:
    name, address = " ".join(name.split()).strip("'\""), address.strip()
    if not address or address.lower() == name.lower():
        return name
    if "@" not in address:  # an entry of Exchange's own address book, which says nothing outside of it
        return name
    return f"{name} <{address}>" if name else address


def _attachment(attached: _Storage, reading: Reading, depth: int) -> Iterator[Section]:
    name = one_line(attached.text(_LONG_FILE_NAME) or attached.text(_FILE_NAME) or attached.text(_NAME))
    inner = f"__substg1.0_{_DATA:04X}{_OBJECT:04X}"
    if attached.inside(inner):
        message = attached.part(inner, _INNER_OFFSET)
        if not message.stream(_PROPERTIES) or depth >= _MOST_DEPTH:  # a drawing or a sheet inside the text
            reading.notes.add(NoteKind.UNREAD_ATTACHMENTS, place=(name or "?")[:80])
            return
        yield from _message(message, reading, depth + 1)
        return
    data = attached.binary(_DATA)
    mime_type = attached.text(_MIME_TYPE).lower()
    if mime_type == "multipart/signed" or name.lower() == "smime.p7m":
        signed = read_message(io.BytesIO(data), 0, len(data))
        if signed.media_type != "multipart/signed":
            raise encrypted_mail("S/MIME")
        yield from message_sections(signed, reading)
    elif (mime_type.startswith("image/") or name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".bmp"))) and (
        reading.recognizer is None or len(data) < LEAST_SCAN_BYTES
    ):
        reading.notes.add(NoteKind.MAIL_PICTURES, place=(name or "?")[:80])
    elif not data:  # a link to a file elsewhere
        reading.notes.add(NoteKind.UNREAD_ATTACHMENTS, place=(name or "?")[:80])
    else:
        reading.attach(name, data)
