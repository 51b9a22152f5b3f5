"""Uploads: a multipart form is read as a stream of events, and each file goes to disk while it arrives.

FastAPI's own form handling would first put whole files into a temporary folder. Tokenizing is python-multipart's. Each
file succeeds or fails on its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from pydantic import BaseModel
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from console.api.context import ApiContext
from console.api.problems import MAX_ID, STATUS, title
from services.core.errors import BadInputError, CancelledError, MillpondError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.types import DocumentStatus

if TYPE_CHECKING:
    from services.knowledge.library import Library, UploadSession
    from services.knowledge.types import Intake

MAX_FILES = 256
WRITE_BYTES = MEGABYTE
FIELD_BYTES = 4096
_ID = re.compile(r"[1-9][0-9]{0,18}")


class AcceptedOut(BaseModel):
    """An accepted file; `duplicate`: its content was stored already, nothing was done."""

    id: int
    name: str
    status: DocumentStatus
    duplicate: bool


class RejectedOut(BaseModel):
    """A rejected file and the reason. Nothing of it was kept."""

    name: str
    status: int
    title: str
    detail: str
    hint: str


class UploadOut(BaseModel):
    """The outcome for each file of one request."""

    documents: list[AcceptedOut]
    errors: list[RejectedOut]


class RejectedUploadError(Exception):
    """Every file was rejected: `first` is the error of the first, `errors` those of all."""

    def __init__(self, first: MillpondError, errors: list[RejectedOut]) -> None:
        super().__init__(str(first))
        self.first = first
        self.errors = errors


class _FileUpload:
    """One file on its way to the disk. Its methods block: they are called in threads."""

    def __init__(self, library: Library, name: str) -> None:
        self.name = name
        self.error: MillpondError | None = None
        self.intake: Intake | None = None
        self.pending = bytearray()
        self._library = library
        self._session: UploadSession | None = None
        self._scope = ExitStack()

    @property
    def open(self) -> bool:
        return self.error is None and self.intake is None

    def flush(self, collection: int | None) -> None:
        """Write what is pending; an expected failure is kept in `error`."""
        pending, self.pending = bytes(self.pending), bytearray()
        try:
            if self._session is None:
                self._session = self._scope.enter_context(self._library.open_upload(self.name, collection))
            self._session.write(pending)
        except MillpondError as error:
            self.abort(error)

    def finish(self, collection: int | None) -> None:
        """Write the rest and hand the file over; an expected failure is kept in `error`."""
        self.flush(collection)
        if self.open and self._session is not None:
            try:
                self.intake = self._session.finish()
            except MillpondError as error:
                self.abort(error)
            else:
                self._scope.close()

    def abort(self, error: MillpondError) -> None:
        """End with `error`; nothing of the file is kept."""
        self.error = error
        self.pending.clear()
        self._scope.__exit__(type(error), error, None)


class UploadReader:
    """Reads the files of one form.

    A file is handed over as soon as it is complete if the collection is known, i.e. if that field came first or was
    given in the address; otherwise when the form ends, so that no file gets into the wrong collection.
    """

    def __init__(self, context: ApiContext, collection: int | None = None) -> None:
        self._context = context
        self._collection = collection
        self._known = collection is not None
        self._files: list[_FileUpload] = []

    async def read(self, content_type: str, body: AsyncIterator[bytes]) -> UploadOut:
        """Read the form to its end and return what became of each file.

        Raises:
            BadInputError: the form is malformed or has no file; files that are not handed over yet are dropped.
            RejectedUploadError: every file was rejected.
        """
        try:
            await self._receive(content_type, body)
            for file in self._files:
                if file.open:
                    await self._context.threads.call(file.finish, self._collection)
        finally:
            with anyio.CancelScope(shield=True):
                for file in self._files:
                    if file.open:
                        gone = CancelledError(_("The upload was broken off."))
                        await self._context.threads.call(file.abort, gone)
        if not self._files:
            raise BadInputError(
                _("The form has no file."), _('Send the files as multipart/form-data in fields named "file".')
            )
        return self._report()

    async def _receive(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        file: _FileUpload | None = None
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

    def _begin(self, field: str, name: str) -> _FileUpload:
        if len(self._files) >= MAX_FILES:
            raise TooLargeError(
                _("One request may carry {limit} files.").format(limit=MAX_FILES), _("Send the rest in another.")
            )
        file = _FileUpload(self._context.services.library, name)
        self._files.append(file)
        if field != "file":
            file.error = BadInputError(
                _('A file came in the field "{field}".').format(field=field[:40]),
                _('Send files in fields named "file".'),
            )
        return file

    async def _write(self, file: _FileUpload, data: bytes) -> None:
        if file.open:  # the rest of a rejected file is read and dropped, to reach the files after it
            file.pending += data
            if len(file.pending) >= WRITE_BYTES:
                await self._context.threads.call(file.flush, self._collection)

    def _set_field(self, name: str, value: str) -> None:
        if name != "collection":
            return  # unknown fields are ignored, as browsers send some of their own
        if not _ID.fullmatch(value) or int(value) > MAX_ID:
            raise BadInputError(
                _("The field `collection` is not the id of a collection."), _("/api/collections lists the ids.")
            )
        self._collection = int(value)
        self._known = True

    def _report(self) -> UploadOut:
        accepted = [
            AcceptedOut(
                id=file.intake.document.id,
                name=file.intake.document.name,
                status=file.intake.document.status,
                duplicate=file.intake.duplicate,
            )
            for file in self._files
            if file.intake
        ]
        rejected = [(file.name, file.error) for file in self._files if file.error]
        errors = [
            RejectedOut(
                name=name, status=STATUS[error.kind], title=title(error.kind), detail=error.message, hint=error.hint
            )
            for name, error in rejected
        ]
        if not accepted:
            raise RejectedUploadError(rejected[0][1], errors)
        return UploadOut(documents=accepted, errors=errors)


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
        file = options.get(b"filename")
        self._events.append(PartBegins(_decode(options[b"name"]), None if file is None else _decode(file)))

    def body_ends(self) -> None:
        self.complete = True


def _decode(name: bytes) -> str:
    # Browsers and clients send UTF-8; what is not stays readable and is never refused for that alone.
    return name.decode("utf-8", errors="replace")


def _broken(message: str) -> BadInputError:
    return BadInputError(message, _('Send the files as multipart/form-data in fields named "file".'))
