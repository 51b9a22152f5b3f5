"""One file on its way into the library: written piece by piece, then admitted."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.files.incoming import IncomingFile
from services.knowledge.files.stored_file import StoredFile
from services.knowledge.types import Intake


class UploadSession:
    """One file being uploaded; a context manager that leaves nothing behind unless `finish` succeeded.

    After `finish` the file and the job that will process it are durable.
    """

    def __init__(self, incoming: IncomingFile, admit: Callable[[StoredFile], tuple[Intake, bool]]) -> None:
        self._incoming = incoming
        self._admit = admit

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLargeError: the file is over the limit.
            StorageError: the disk is full or refuses.
        """
        self._incoming.write(data)

    def finish(self) -> Intake:
        """Add the file to the library and return the outcome.

        Raises:
            BadInputError: the file is empty.
            BusyError: too many jobs are waiting.
            NotFoundError: the collection is gone.
            StorageError: the disk is full or refuses.
            UnavailableError: originals cannot be stored at present.
        """
        stored = self._incoming.finish()
        if not stored.size_bytes:
            raise BadInputError(_("The file is empty; nothing was added."), _("Check what was saved and try again."))
        intake, keep = self._admit(stored)
        if not keep:
            self._incoming.discard()
        return intake

    def __enter__(self) -> Self:
        self._incoming.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.__exit__(kind, error, trace)
