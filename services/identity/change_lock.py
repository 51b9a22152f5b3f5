"""Who may change accounts, groups and grants: one thread of one node at a time, over what all others have changed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType

from services.core.database import Database
from services.identity.directory import Directory

_NAME = "people"


class ChangeLock:
    """Held while accounts, groups and grants change: what is checked meanwhile holds when it is written. Reentrant.

    The directory has what other nodes changed before. Entering raises UnavailableError where the database does not
    answer, or another node takes long.
    """

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory
        self._lock = threading.RLock()
        self._depth = 0
        self._outer = ExitStack()

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            if not self._depth:
                with ExitStack() as failed:
                    failed.enter_context(self._database.exclusively(_NAME))
                    self._directory.refresh()
                    self._outer = failed.pop_all()
            self._depth += 1
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._depth -= 1
            if not self._depth:
                self._outer.close()
        finally:
            self._lock.release()
