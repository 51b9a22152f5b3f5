"""Uploads: a multipart form is read as a stream of events, and each file goes to disk while it arrives.

FastAPI's own form handling would first put whole files into a temporary folder. Each file succeeds or fails on its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
from pydantic import BaseModel

from console.api.context import ApiContext
from console.api.inputs import MAX_ID
from console.api.multipart import PartBegins, PartData, events
from console.api.problems import STATUS, title
from services.core.actor import Actor
from services.core.errors import BadInputError, CancelledError, ConflictError, MillpondError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.file_names import NamesOfOneUpload
from services.knowledge.types import DocumentStatus

if TYPE_CHECKING:
    from services.knowledge.library import Library
    from services.knowledge.types import Intake
    from services.knowledge.upload_session import UploadSession

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

    def __init__(self, library: Library, actor: Actor, name: str, batch: str) -> None:
        self.name = name
        self._batch = batch
        self.error: MillpondError | None = None
        self.intake: Intake | None = None
        self.pending = bytearray()
        self._library = library
        self._actor = actor
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
                self._session = self._scope.enter_context(
                    self._library.open_upload(self._actor, self.name, collection, batch=self._batch)
                )
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

    def __init__(self, context: ApiContext, actor: Actor, collection: int | None = None) -> None:
        self._context = context
        self._actor = actor
        self._collection = collection
        self._known = collection is not None
        self._files: list[_FileUpload] = []
        self._names = NamesOfOneUpload()
        self._batch = secrets.token_hex(4)

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
        file = _FileUpload(self._context.services.library, self._actor, name, self._batch)
        self._files.append(file)
        if field != "file":
            file.error = BadInputError(
                _('A file came in the field "{field}".').format(field=field[:40]),
                _('Send files in fields named "file".'),
            )
        try:
            self._names.add(name)
        except ConflictError as error:
            file.error = file.error or error
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
