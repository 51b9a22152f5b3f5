"""Deleted means gone: what was deleted from the database leaves its files, too, a few seconds later.

SQLite overwrites freed places with zeros (`secure_delete`), but what was deleted is still in the write-ahead log, which
is emptied here. Before that, steps of others run, for derived data with deleted words (`services.app` registers them).
While another program reads the database in a long transaction the log cannot be emptied, and the copy from before an
upgrade keeps what it has until it is removed (`services.core.migrations.backup`): `status` says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.core.database import Database
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.migrations.backup import backups_of

log = structlog.get_logger(__name__)

# Deletions in a row are erased together: they share the work.
COMPANY_SECONDS = 2.0
RETRY_SECONDS = 1.0
LATE_SECONDS = 10.0
_LATE_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 10.0
# A step erases what is deleted by now; it ends early, with False, when the argument returns true.
Step = Callable[[Callable[[], bool]], bool]


@dataclass(frozen=True, slots=True)
class ErasureStatus:
    """For how many seconds something deleted has still been in a file (0: nothing is), and what it waits for.

    `upgrade_copies` are files beside the database that have what was deleted since an upgrade; empty: there are none.
    """

    pending_seconds: float = 0.0
    waiting_for: str = ""
    upgrade_copies: tuple[str, ...] = ()


class Erasure:
    """A thread that erases what was deleted, within seconds. Thread-safe."""

    def __init__(self, database: Database, *, company: float = COMPANY_SECONDS) -> None:
        self._database = database
        self._company = company
        self._steps: list[Step] = []
        self._wake = threading.Condition()
        self._since: float | None = None
        self._marked: float | None = None
        self._waiting_for = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="erasure", daemon=True)
        database.on_removal(self.mark)

    def add_step(self, step: Step) -> None:
        """Have `step` run before the log is emptied; the next run begins at once."""
        self._steps.append(step)
        self.mark()

    def start(self) -> None:
        """Start the thread. What a killed process has left in the log is erased first."""
        self.mark()
        self._thread.start()

    def close(self) -> None:
        """End the thread; closing the database empties its log."""
        self._closing.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def mark(self) -> None:
        """Record that something was deleted; returns at once."""
        with self._wake:
            self._marked = self._marked or time.monotonic()
            self._wake.notify_all()

    def status(self) -> ErasureStatus:
        """Return since when something waits, and for what."""
        file = self._database.path
        copies = tuple(copy.name for copy in backups_of(file)) if file is not None else ()
        with self._wake:
            begun = [moment for moment in (self._since, self._marked) if moment is not None]
            if not begun:
                return ErasureStatus(upgrade_copies=copies)
            return ErasureStatus(time.monotonic() - min(begun), self._waiting_for, copies)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._marked is not None or self._closing.is_set())
            if self._closing.wait(self._company):
                return
            with self._wake:
                self._since, self._marked = self._marked, None
            while not self._erase():
                late = self.status().pending_seconds > LATE_SECONDS
                if self._closing.wait(_LATE_RETRY_SECONDS if late else RETRY_SECONDS):
                    return
            with self._wake:
                self._since, self._waiting_for = None, ""

    def _erase(self) -> bool:
        """Return whether everything deleted before this call is erased."""
        try:
            if not all(step(self._closing.is_set) for step in self._steps):
                return False
            reason = "" if self._database.empty_log() else _("another program that reads the database")
        except MillpondError as error:
            reason = str(error)
        except Exception:
            # No failure may end the thread: the next attempt may succeed.
            log.exception("erasing failed")
            reason = _("a defect; the log has the details")
        with self._wake:
            since = self._since or time.monotonic()
            first = reason and not self._waiting_for and time.monotonic() - since > LATE_SECONDS
            if first or not reason:
                self._waiting_for = reason
        if first:
            log.warning("deleted text is still in the write-ahead log", waits_for=reason)
        return not reason
