"""Files that arrive in a form: each goes to disk as it comes, each succeeds or fails by itself.

A multipart body as a stream of events, so that a file reaches the disk while it arrives.

FastAPI's own form handling first puts whole files into a temporary folder. The tokenizing is python-multipart's.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from console.api.context import ApiContext
from console.api.problems import STATUS, title
from console.api.schemas import LARGEST_ID, RefusedOut, TakenOut, UploadOut
from services.core.errors import BadInputError, CancelledError, MillpondError, TooLargeError
from services.core.i18n import _

if TYPE_CHECKING:
    from services.knowledge.library import Library, UploadSession
    from services.knowledge.types import Intake

FILES_AT_MOST = 256
_ID = re.compile(r"[1-9][0-9]{0,18}")
WRITE_BYTES = 1024 * 1024
FIELD_BYTES = 4096


class RefusedUploadError(Exception):
    """Not one file was taken: `first` is what was wrong with the first, `errors` with each."""

    def __init__(self, first: MillpondError, errors: list[RefusedOut]) -> None:
        super().__init__(str(first))
        self.first = first
        self.errors = errors


class _File:
    """One file on its way to the disk. Its methods block: they are called in threads."""

    def __init__(self, library: Library, name: str) -> None:
        self.name = name
        self.error: MillpondError | None = None
        self.intake: Intake | None = None
        self.pending = bytearray()
        self._library = library
        self._reception: UploadSession | None = None
        self._scope = ExitStack()

    @property
    def open(self) -> bool:
        return self.error is None and self.intake is None

    def flush(self, collection: int | None) -> None:
        """Write what is pending; a refusal is kept in `error`."""
        pending, self.pending = bytes(self.pending), bytearray()
        try:
            if self._reception is None:
                self._reception = self._scope.enter_context(self._library.receive(self.name, collection))
            self._reception.write(pending)
        except MillpondError as error:
            self.give_up(error)

    def finish(self, collection: int | None) -> None:
        """Write the rest and hand the file over; a refusal is kept in `error`."""
        self.flush(collection)
        if self.open and self._reception is not None:
            try:
                self.intake = self._reception.finish()
            except MillpondError as error:
                self.give_up(error)
            else:
                self._scope.close()

    def give_up(self, error: MillpondError) -> None:
        """Leave nothing of the file behind."""
        self.error = error
        self.pending.clear()
        self._scope.__exit__(type(error), error, None)


class Upload:
    """Takes the files of one form.

    A file is handed over at once when the collection is already known, i.e. when that field came first or was given in
    the address; otherwise when the form ends, because a file must not land in the wrong collection.
    """

    def __init__(self, context: ApiContext, collection: int | None = None) -> None:
        self._context = context
        self._collection = collection
        self._known = collection is not None
        self._files: list[_File] = []

    async def take(self, content_type: str, body: AsyncIterator[bytes]) -> UploadOut:
        """Read the form to its end.

        Raises:
            BadInputError: the form is broken or has no file; what was not handed over before is dropped.
            RefusedUploadError: every file was refused.
        """
        try:
            await self._read(content_type, body)
            for file in self._files:
                if file.open:
                    await self._context.threads.call(file.finish, self._collection)
        finally:
            with anyio.CancelScope(shield=True):
                for file in self._files:
                    if file.open:
                        gone = CancelledError(_("The upload was broken off."))
                        await self._context.threads.call(file.give_up, gone)
        if not self._files:
            raise BadInputError(
                _("The form has no file."), _('Send the files as multipart/form-data in fields named "file".')
            )
        return self._report()

    async def _read(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        file: _File | None = None
        field = ""
        value = bytearray()
        async for event in events(content_type, body):
            if isinstance(event, PartBegins):
                file = None if event.file is None else self._begin(event.field, event.file)
                field = event.field
                value.clear()
            elif isinstance(event, PartData):
                if file is None:
                    value += event.data[: FIELD_BYTES - len(value)]
                else:
                    await self._write(file, event.data)
            elif file is None:
                self._set_field(field, value.decode("utf-8", errors="replace").strip())
            elif file.open and self._known:
                await self._context.threads.call(file.finish, self._collection)

    def _begin(self, field: str, name: str) -> _File:
        if len(self._files) >= FILES_AT_MOST:
            raise TooLargeError(
                _("One request may carry {limit} files.").format(limit=FILES_AT_MOST), _("Send the rest in another.")
            )
        file = _File(self._context.runtime.library, name)
        self._files.append(file)
        if field != "file":
            file.error = BadInputError(
                _('A file came in the field "{field}".').format(field=field[:40]),
                _('Send files in fields named "file".'),
            )
        return file

    async def _write(self, file: _File, data: bytes) -> None:
        if file.open:  # what follows in a refused file is read and dropped, so that the files behind it can come
            file.pending += data
            if len(file.pending) >= WRITE_BYTES:
                await self._context.threads.call(file.flush, self._collection)

    def _set_field(self, name: str, value: str) -> None:
        if name != "collection":
            return  # unknown fields are ignored, as browsers send some of their own
        if not _ID.fullmatch(value) or int(value) > LARGEST_ID:
            raise BadInputError(
                _("The field `collection` is not the id of a collection."), _("/api/collections lists the ids.")
            )
        self._collection = int(value)
        self._known = True

    def _report(self) -> UploadOut:
        taken = [
            TakenOut(
                id=file.intake.document.id,
                name=file.intake.document.name,
                status=file.intake.document.status,
                duplicate=file.intake.duplicate,
            )
            for file in self._files
            if file.intake
        ]
        refused = [(file.name, file.error) for file in self._files if file.error]
        errors = [
            RefusedOut(
                name=name, status=STATUS[error.kind], title=title(error.kind), detail=error.message, hint=error.hint
            )
            for name, error in refused
        ]
        if not taken:
            raise RefusedUploadError(refused[0][1], errors)
        return UploadOut(documents=taken, errors=errors)


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
