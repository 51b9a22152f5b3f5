"""A multipart body as a stream of events, so that a file reaches the disk while it arrives.

FastAPI's own form handling first puts whole files into a temporary folder. The tokenizing is python-multipart's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from services.errors import BadInputError
from services.texts import _

FIELD_BYTES = 4096


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
    collector = _Collector()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collector.part_begins,
                "on_part_data": collector.part_data,
                "on_part_end": collector.part_ends,
                "on_header_field": collector.header_field,
                "on_header_value": collector.header_value,
                "on_header_end": collector.header_ends,
                "on_headers_finished": collector.headers_finished,
                "on_end": collector.body_ends,
            },
        )
        async for piece in body:
            if piece:
                parser.write(piece)
            for event in collector.drain():
                yield event
        parser.finalize()
    except FormParserError as error:
        raise _broken(_("The multipart form is broken.")) from error
    if not collector.complete:
        raise _broken(_("The multipart form ends too early."))


class _Collector:
    """The parser's callbacks: what they saw since the last `drain`."""

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
        file = options.get(b"filename")
        self._events.append(PartBegins(_decode(options[b"name"]), None if file is None else _decode(file)))

    def body_ends(self) -> None:
        self.complete = True


def _decode(name: bytes) -> str:
    # Browsers and clients send UTF-8; what is not stays readable and is never refused for that alone.
    return name.decode("utf-8", errors="replace")


def _broken(message: str) -> BadInputError:
    return BadInputError(message, _('Send the files as multipart/form-data in fields named "file".'))
