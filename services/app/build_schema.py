"""The schema of the main database at a start, and the copy from before an upgrade: said, and removed in time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.app.tables import import_tables
from services.core.database import Database
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.migrations.backup import remove_old
from services.core.migrations.upgrade import SchemaUpgrade, open_schema
from services.core.settings import Settings
from services.memory.clock import Clock

if TYPE_CHECKING:
    from services.memory.monitor import MemoryMonitor

CHECK_SECONDS = 3600.0


def open_database(
    settings: Settings, closing: ExitStack, enter: Callable[[str], None], *, alone: bool = True
) -> tuple[Database, SchemaUpgrade | None]:
    """Open the main database with the schema of this version; return it, and the upgrade if one was needed.

    With `alone` no other process may use it meanwhile; without, other nodes may use a database that can be shared.

    Raises:
        BadInputError: vectors are to be searched in a database that cannot do it.
        ConflictError: a newer version has written it, another process uses it, or nodes that work on it are too old;
            nothing was changed.
        DamagedError: it is damaged; nothing was changed.
        StorageError: it cannot be opened, copied or migrated; it is as it was.
    """
    import_tables()
    database = Database(settings.effective_database_url, checked=True, replicated=settings.database_replicated)
    closing.callback(database.close)
    database.hold(alone=alone)
    beside = None
    if database.shared and not alone:
        from services.nodes.store.schema_check import require_nodes_go_on

        beside = require_nodes_go_on
    upgrade = open_schema(database, lambda: enter(_("bringing the data to this version")), beside=beside)
    if settings.vector_search == "database":
        from services.knowledge.store.pgvector import require_pgvector

        require_pgvector(database)
    return database, upgrade


def watch_copies(
    settings: Settings,
    clock: Clock,
    database: Database,
    upgrade: SchemaUpgrade | None,
    *,
    memory: MemoryMonitor,
    reporter: EventSink,
) -> None:
    """Say what an upgrade did, and remove the copy from before it when its time is up."""
    if upgrade is not None:
        reporter.event(EventKind.UPGRADE, upgrade_text(upgrade, settings, clock.time()), seconds=upgrade.seconds)
    file = database.path
    if file is None:
        return

    def remove() -> None:
        for old in remove_old(file, days=settings.upgrade_copy_days, now=clock.time()):
            reporter.event(EventKind.UPGRADE, _("copy from before an upgrade removed: {name}").format(name=old.name))

    remove()
    memory.add_task(remove, CHECK_SECONDS)


def upgrade_text(upgrade: SchemaUpgrade, settings: Settings, now: float) -> str:
    """Return what an upgrade did, and how long the copy from before it is kept, in words."""
    done = _("database brought from {before} to the schema {after}").format(
        before=_("the schema {revision}").format(revision=upgrade.before)
        if upgrade.before
        else _("a schema before there were revisions"),
        after=upgrade.after,
    )
    if upgrade.backup is None:
        return done
    until = datetime.fromtimestamp(now + settings.upgrade_copy_days * 86_400, UTC)
    kept = _("the copy from before it, {name}, is kept until {date}").format(
        name=upgrade.backup.name, date=f"{until:%Y-%m-%d}"
    )
    return f"{done}; {kept}"
