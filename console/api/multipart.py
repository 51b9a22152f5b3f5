"""A multipart/form-data body as a stream of events: a part begins, its bytes come, it ends.

Tokenizing is python-multipart's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.mail.header_text import decode_bytes, decode_extended, decode_words

_EXTENDED = re.compile(rb";\s*filename\*\s*=\s*([^;]{1,2000})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part with its field's name; `file` is its file name, None for an ordinary field."""

    field: str
    file: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is complete."""


Event = PartBegins | PartData | PartEnds


async def events(content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Yield the parts of a multipart/form-data body in their order.

    Raises:
        BadInputError: the body is not multipart/form-data, is broken, or ends too early.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise _broken(_("The request is not a multipart form."))
    callbacks = _ParserCallbacks()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": callbacks.part_begins,
                "on_part_data": callbacks.part_data,
                "on_part_end": callbacks.part_ends,
                "on_header_field": callbacks.header_field,
                "on_header_value": callbacks.header_value,
                "on_header_end": callbacks.header_ends,
                "on_headers_finished": callbacks.headers_finished,
                "on_end": callbacks.body_ends,
            },
        )
        async for piece in body:
            if piece:
                parser.write(piece)
            for event in callbacks.drain():
                yield event
        parser.finalize()
    except FormParserError as error:
        raise _broken(_("The multipart form is broken.")) from error
    if not callbacks.complete:
        raise _broken(_("The multipart form ends too early."))


class _ParserCallbacks:
    """The parser's callbacks; `drain` returns the events since the last call."""

    def __init__(self) -> None:
        self.complete = False
        self._events: list[Event] = []
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def drain(self) -> list[Event]:
        drained, self._events = self._events, []
        return drained

    def part_begins(self) -> None:
        self._disposition = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def part_ends(self) -> None:
        self._events.append(PartEnds())

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_ends(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        _kind, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _broken(_("A part of the form has no name."))
        field = options[b"name"].decode("utf-8", errors="replace")
        self._events.append(PartBegins(field, _file_name(self._disposition, options.get(b"filename"))))

    def body_ends(self) -> None:
        self.complete = True


def _file_name(disposition: bytes, plain: bytes | None) -> str | None:
    """Return the name of a part's file, None if it has none; clients write it in many ways, and each must be read.

    UTF-8 is what browsers send; others send the bytes of their own encoding, encoded words as in mail, or nothing but
    `filename*`, which is not allowed here and so counts only where nothing else is given.
    """
    if plain is None:
        extended = _EXTENDED.search(disposition)
        return None if extended is None else decode_extended(extended[1].decode("latin-1").strip("\"' "))
    try:
        name = plain.decode("utf-8")
    except UnicodeDecodeError:
        name = decode_bytes(plain)
    # What the HTML standard escapes in a file name, and nothing else.
    for escaped, meant in (("%22", '"'), ("%0D", " "), ("%0A", " ")):
        name = name.replace(escaped, meant)
    return decode_words(name)


def _broken(message: str) -> BadInputError:
    return BadInputError(message, _('Send the files as multipart/form-data in fields named "file".'))
