"""What is done about damaged files of the data folder: found by checks in the background, said by events and `/readyz`.

A database that is damaged at the start is refused before this (`services.core.database.checkpoints`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.core.database import Database
from services.core.errors import DamagedError, MillpondError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, joined, listed
from services.core.machine import MEGABYTE
from services.core.settings import DATABASE_FILE, Settings
from services.operations.health import Check, Health

if TYPE_CHECKING:
    from services.knowledge.original_check import OriginalCheck
    from services.memory.monitor import MemoryMonitor

DATABASE = "database"
CHECK_SECONDS = 1.0
# A megabyte a second each of database and originals: a gigabyte in 17 minutes, for about 0.2 % of a core.
PAGES_PER_CHECK = 256
BYTES_PER_CHECK = MEGABYTE


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


def watch_originals(check: OriginalCheck, memory: MemoryMonitor, reporter: EventSink) -> None:
    """Check the originals a little every second, and say which ones are damaged or gone."""

    def step() -> None:
        for found in check.some(BYTES_PER_CHECK):
            reporter.event(EventKind.DAMAGE, found)

    memory.add_task(step, CHECK_SECONDS)


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
