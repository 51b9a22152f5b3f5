"""Restores a pond from a backup, to where the settings have data folder, database and originals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from services.app.build_backups import read_key
from services.app.pond_migration import Progress, copy_pond, index_words
from services.app.tables import import_tables
from services.backup.destination import Destination
from services.backup.manifest import SQLITE, ManifestHead, SignatureKeys
from services.backup.pacing import Pace
from services.backup.restoring import FolderTarget, OriginalsTarget, restore
from services.core.database import Database
from services.core.database.mirror import make_standalone
from services.core.database.transfer import require_empty
from services.core.migrations.backup import backups_of, remove
from services.core.migrations.upgrade import open_schema
from services.core.settings import Settings


def restore_pond(
    settings: Settings, source: Destination, progress: Progress, *, name: str = "", trusted: SignatureKeys | None = None
) -> ManifestHead:
    """Restore a backup; return what it says of itself, which was found in the database, too.

    Args:
        settings: the data folder, the database and the place of originals: each is empty, or not there yet.
        source: where backups are.
        progress: called while rows are copied into another database, and compared.
        name: which backup; "": the newest.
        trusted: whose signatures are accepted; None: that of the key which the backup itself names.

    Raises:
        MillpondError: as `services.backup.restoring.restore` and `copy_pond`. Folder and place are empty again; a
            database of PostgreSQL may have a part of the copy, which the same command goes on with.
    """
    with ExitStack() as ending:
        target = _target(settings, ending)

        def place(file: Path, head: ManifestHead) -> bool:
            if target is None and head.engine == SQLITE:
                return True
            with _opened(file) as copy:
                if target is not None:
                    copy_pond(copy, target, progress)
                else:  # the words are indexed otherwise there
                    index_words(copy, progress)
                    make_standalone(copy)
            return target is None

        return restore(
            source,
            settings.data_dir,
            read_key,
            Pace(),
            name=name,
            trusted=trusted,
            originals=_originals(settings),
            place=place,
        )


def _target(settings: Settings, ending: ExitStack) -> Database | None:
    """Return the database of PostgreSQL that the settings name, None for SQLite; nobody else uses it meanwhile.

    Raises:
        ConflictError: it has data of its own, or is in use.
        UnavailableError: it does not answer.
    """
    if not settings.database_url or settings.database_url.startswith("sqlite"):
        return None
    import_tables()
    database = Database(settings.database_url)
    ending.callback(database.close)
    database.hold(alone=True)
    open_schema(database)
    require_empty(database)
    return database


@contextmanager
def _opened(file: Path) -> Iterator[Database]:
    """Open the database of a backup, with the schema of this version."""
    import_tables()
    with closing(Database(f"sqlite:///{file}", connections=1)) as database:
        open_schema(database)
        for copy in backups_of(file):  # the backup itself has what it was before
            remove(copy)
        yield database


def _originals(settings: Settings) -> OriginalsTarget | None:
    if settings.s3_location is not None:
        from services.app.bucket_originals import BucketTarget  # with the client for S3, 10 MB

        return BucketTarget(settings)
    return FolderTarget(Path(settings.files_url)) if settings.files_url else None
