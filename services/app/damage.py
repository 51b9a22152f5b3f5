"""What is done about damaged files of the data folder: found by checks in the background, said by events and `/readyz`.

A database that is damaged at the start is refused before this (`services.core.database.checkpoints`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from services.core.database import Database
from services.core.errors import DamagedError, MillpondError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, joined, listed
from services.core.machine import MEGABYTE
from services.core.settings import DATABASE_FILE, Settings
from services.core.thread_priority import start_low_priority_thread
from services.operations.health import Check, Health

if TYPE_CHECKING:
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.original_check import OriginalCheck
    from services.memory.monitor import MemoryMonitor

DATABASE = "database"
CHECK_SECONDS = 1.0
# A megabyte a second each of database and originals: a gigabyte in 17 minutes, for about 0.2 % of a core.
PAGES_PER_CHECK = 256
BYTES_PER_CHECK = MEGABYTE
REMOTE_CHECK_SECONDS = 8.0  # a gigabyte in two hours
CLOSE_SECONDS = 5.0
ORIGINALS = "original files"

log = structlog.get_logger(__name__)


def require_database(settings: Settings) -> None:
    """Refuse a data folder whose database was removed: a new one would take the originals for leftovers.

    Raises:
        DamagedError: there are originals or an index, and no database.
    """
    folder = settings.data_dir
    if settings.database_url or (folder / DATABASE_FILE).exists():
        return
    left = [name for name in ("files", "index") if any((folder / name).glob("*/*"))]
    if left:
        raise DamagedError(
            _("The data folder {path} has no database {file}, but {names} of one. Nothing was changed.").format(
                path=folder, file=DATABASE_FILE, names=joined(left, _(" and "))
            ),
            _("Put a copy of the whole data folder back, or start on another with --data-dir."),
        )


def watch_database(database: Database, memory: MemoryMonitor, reporter: EventSink, health: Health) -> None:
    """Say what the checks at the start found, and check the database a little every second."""
    for note in (*database.notes, memory.history.damage):
        if note:
            reporter.event(EventKind.DAMAGE, note)
    report_files(_("Snapshots of objects that cannot be opened: {names}"), memory.objects.damaged_snapshots(), reporter)
    report_files(_("Snapshots of allocations that are damaged: {names}"), memory.tracer.damaged_snapshots(), reporter)
    database.on_damage(lambda error: reporter.event(EventKind.DAMAGE, error.message))
    health.set_check(DATABASE, database_check(database))
    memory.add_task(lambda: database.check_some(PAGES_PER_CHECK), CHECK_SECONDS)


def report_files(text: str, names: list[str], reporter: EventSink) -> None:
    """Report that some files, if there are any, are damaged."""
    if names:
        reporter.event(EventKind.DAMAGE, text.format(names=listed(names)))


def watch_originals(check: OriginalCheck, memory: MemoryMonitor, reporter: EventSink, closing: ExitStack) -> None:
    """Check the originals a little every second, and say which ones are damaged or gone.

    Over a network it is done more seldom, in a thread that may wait.
    """

    def step() -> None:
        for found in check.some(BYTES_PER_CHECK):
            reporter.event(EventKind.DAMAGE, found)

    if not check.remote:
        memory.add_task(step, CHECK_SECONDS)
        return
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(REMOTE_CHECK_SECONDS):
            try:
                step()
            except MillpondError as error:
                log.warning("originals not checked", reason=str(error))

    thread = start_low_priority_thread("original-check", watch)
    closing.callback(thread.join, CLOSE_SECONDS)
    closing.callback(stopping.set)


def files_check(ingestion: Ingestion) -> Callable[[], Check]:
    """Return the check of the place where originals are kept: without it what needs none of them goes on."""

    def check() -> Check:
        warning = ingestion.files_warning
        return Check(ORIGINALS, ok=True, detail=warning or _("reachable"), warning=bool(warning))

    return check


def database_check(database: Database) -> Callable[[], Check]:
    """Return the check of the database: no part of it was found damaged, and its server answers."""

    def check() -> Check:
        error: DamagedError | None = database.damage
        if error is not None:
            return Check(DATABASE, ok=False, detail=_("database damaged: {reason}").format(reason=error.message))
        try:
            database.ask()
        except MillpondError as refused:
            return Check(DATABASE, ok=False, detail=refused.message)
        return Check(DATABASE, ok=True, detail=_("sound"))

    return check
