"""Reads the originals one after the other, a little at a time, and finds those that are damaged or gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import structlog

from services.core.database import Database
from services.core.errors import StorageError
from services.core.i18n import _
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.stored_file import FilesUnavailableError
from services.knowledge.store.originals import Original, next_originals

log = structlog.get_logger(__name__)

# Small files are many: one query returns some of them.
_FILES_PER_CALL = 20


class OriginalCheck:
    """Goes through the originals again and again; each damaged one is returned once. `remote`: over a network."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self.remote = files.remote
        self._database = database
        self._files = files
        self._current: Original | None = None
        self._last = 0  # revision
        self._offset = 0
        self._hash: Any = hashlib.sha256()
        self._known: set[str] = set()

    def some(self, most_bytes: int) -> list[str]:
        """Read about `most_bytes` of the originals; return which ones turned out to be damaged or gone, in words."""
        return list(self._some(most_bytes))

    def _some(self, most_bytes: int) -> Iterator[str]:
        coming = next_originals(self._database, self._last, _FILES_PER_CALL)
        if not coming:
            self._last = 0
        for original in coming:
            if original != self._current:
                self._current, self._offset, self._hash = original, 0, hashlib.sha256()
            try:
                reason, read, complete = self._read(original, most_bytes)
            except FilesUnavailableError:
                return  # goes on here when it can be had
            most_bytes -= read
            if complete:
                self._current, self._last = None, original.revision_id
                if reason and original.stored not in self._known and self._is_needed(original):
                    self._known.add(original.stored)
                    log.error("original damaged", document=original.document, stored=original.stored, reason=reason)
                    yield _("The original of {name} ({file}) {reason}; its text is kept.").format(
                        name=original.document, file=original.stored, reason=reason
                    )
            if most_bytes <= 0:
                return

    def _read(self, original: Original, most_bytes: int) -> tuple[str, int, bool]:
        """Read on; return what is wrong with the file, how many bytes were read, and whether it was read to its end."""
        try:
            data = self._files.read(original.stored, self._offset, most_bytes)
        except FileNotFoundError:
            return _("is gone"), 0, True
        except OSError as error:
            return _("cannot be read: {reason}").format(reason=error.strerror), 0, True
        except StorageError as error:
            return _("cannot be read: {reason}").format(reason=error.message), 0, True
        self._hash.update(data)
        self._offset += len(data)
        if len(data) == most_bytes:
            return "", len(data), False
        damaged = self._hash.hexdigest() != original.sha256
        return _("is damaged") if damaged else "", len(data), True

    def _is_needed(self, original: Original) -> bool:
        """Return whether the original is still referred to: it may have been deleted while it was read."""
        return next_originals(self._database, original.revision_id - 1, 1) == [original]
