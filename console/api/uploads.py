"""Files that arrive in a form: each goes to disk as it comes, each succeeds or fails by itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio

from console.api.context import ApiContext
from console.api.multipart import FIELD_BYTES, PartBegins, PartData, events
from console.api.problems import STATUS, title
from console.api.schemas import LARGEST_ID, RefusedOut, TakenOut, UploadOut
from services.errors import BadInputError, CancelledError, MillpondError, TooLargeError
from services.texts import _

if TYPE_CHECKING:
    from services.knowledge.library import Library
    from services.knowledge.library.reception import Reception
    from services.knowledge.types import Intake

FILES_AT_MOST = 256
_ID = re.compile(r"[1-9][0-9]{0,18}")
WRITE_BYTES = 1024 * 1024


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
        self._reception: Reception | None = None
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
