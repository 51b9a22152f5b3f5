"""Moves a pond from one database to another: the rows as they are, the lexical index made anew, all of it compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from services.app.build_schema import open_database
from services.app.damage import require_database
from services.app.data_folder import lock_folder
from services.app.tables import import_tables
from services.core.database import Database
from services.core.database.transfer import compare_tables, copy_tables, end_transfer, same_database
from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.migrations.upgrade import open_schema
from services.core.settings import Settings

Progress = Callable[[str, int, int], None]
"""Called with what is being done, in words, how much of it is through, and of how much."""


@dataclass(frozen=True, slots=True)
class MigratedPond:
    """What was moved: documents and rows in all, and the seconds that it took."""

    documents: int
    rows: int
    seconds: float


def migrate_pond(settings: Settings, target_url: str, progress: Progress) -> MigratedPond:
    """Copy the database of a data folder that no server uses to an empty one; the original stays as it is.

    A copy that was interrupted goes on where it was.

    Raises:
        BadInputError: both are the same database.
        ConflictError: a server runs on the data folder, or the other database has data of its own.
        DamagedError: a row of the copy is not as in the original.
        MillpondError: either cannot be opened, read or written.
    """
    import_tables()
    began = time.monotonic()
    if same_database(target_url, settings.effective_database_url):
        raise BadInputError(_("This is the database that is used already."), _("Name another one."))
    with ExitStack() as closing:
        lock_folder(settings, "", 0.0, closing)
        require_database(settings)
        source, _upgrade = open_database(settings, closing, lambda _stage: None)
        target = Database(target_url)
        closing.callback(target.close)
        open_schema(target)
        rows = copy_pond(source, target, progress)
    return MigratedPond(rows["documents"], sum(rows.values()), time.monotonic() - began)


def copy_pond(source: Database, target: Database, progress: Progress) -> dict[str, int]:
    """Copy all rows into an empty database, index the words, compare every row; return how many each table has.

    A copy that was interrupted goes on where it was.

    Raises:
        ConflictError: the target has data of its own.
        DamagedError: a row of the copy is not as in the original.
        MillpondError: either cannot be read or written.
    """
    copying, comparing = _("copying {table}"), _("comparing {table}")
    copy_tables(source, target, lambda table, *how_far: progress(copying.format(table=table), *how_far))
    index_words(target, progress)
    rows = compare_tables(source, target, lambda table, *how_far: progress(comparing.format(table=table), *how_far))
    end_transfer(target)
    return rows


def index_words(target: Database, progress: Progress) -> None:
    """Make the index of words anew from the chunks."""
    from services.knowledge.store.lexical_index import rebuild

    rebuild(target, lambda done, total: progress(_("making the index of words"), done, total))
