"""Erases the names of deleted documents and collections from the audit log, as from everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from services.core.auditing import TargetKind
from services.core.errors import MillpondError

if TYPE_CHECKING:
    from services.audit.audit_log import AuditLog

Existing = Callable[[Collection[int]], Collection[int]]


class AuditNames:
    """A step of the erasure. What a process that was killed has not come to, the next one does at its start."""

    def __init__(self, audit: AuditLog, documents: Existing, collections: Existing) -> None:
        """`documents` and `collections` return which of some ids exist."""
        self._audit = audit
        self._documents = documents
        self._collections = collections
        self._lock = threading.Lock()
        self._gone: set[int] = set()
        self._first = True

    def add(self, documents: Collection[int]) -> None:
        """Have the names of documents erased by the next call of `erase`."""
        with self._lock:
            self._gone.update(documents)

    def begin_anew(self) -> None:
        """Have all names of what is gone erased by the next call of `erase`: another node may not have come to it."""
        self._first = True

    def erase(self, _stop: Callable[[], bool] = lambda: False) -> bool:
        """Erase what is to be erased.

        Raises:
            StorageError: the database refused; it is tried again.
        """
        with self._lock:
            gone = set(self._gone)
        if self._first:
            self._first = False
            try:
                self._audit.erase_names_of_missing(TargetKind.DOCUMENT, self._documents)
            except MillpondError:
                self._first = True
                raise
        else:
            self._audit.erase_names(TargetKind.DOCUMENT, gone)
        self._audit.erase_names_of_missing(TargetKind.COLLECTION, self._collections)
        with self._lock:
            self._gone -= gone
        return True
