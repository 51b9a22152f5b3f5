"""A data folder with documents, made through the tables and the file store: no model is needed for a backup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.app.build_backups import backup_source, read_key
from services.app.tables import import_tables
from services.audit.signing import SigningKey
from services.backup.checking import BackupChecker, CheckedBackup
from services.backup.destination import Destination
from services.backup.making import MadeBackup, make_backup
from services.backup.manifest import ManifestFile, ManifestReader
from services.backup.pacing import Pace
from services.backup.retention import RetentionRule
from services.core.database import Database
from services.core.settings import Settings
from services.knowledge.files.open_store import open_file_store
from services.knowledge.files.stored_file import StoredFile


@dataclass
class Pond:
    """A folder at work, and a folder for its backups."""

    settings: Settings
    database: Database
    files: Any  # the store of originals
    destination: Path
    stored: list[StoredFile] = field(default_factory=list)

    def add(self, name: str, content: bytes) -> StoredFile:
        """Put a document there, as an upload does: first the file, then the row."""
        from services.knowledge.store.tables import documents, revisions

        with self.files.create() as incoming:
            incoming.write(content)
            stored = incoming.finish()
        now = datetime.now(UTC)
        with self.database.write() as connection:
            made = connection.execute(
                documents.insert().values(collection_id=1, name=name, enabled=True, created_at=now, updated_at=now)
            ).inserted_primary_key
            assert made is not None
            revision = connection.execute(
                revisions.insert().values(
                    document_id=made[0],
                    version=1,
                    sha256=stored.sha256,
                    size_bytes=stored.size_bytes,
                    stored=stored.stored,
                    chunk_tokens=200,
                    overlap=24,
                    created_at=now,
                )
            ).inserted_primary_key
            assert revision is not None
            connection.execute(
                documents.update().where(documents.c.id == made[0]).values(newest_revision_id=revision[0])
            )
        self.stored.append(stored)
        return stored

    def remove(self, stored: StoredFile) -> None:
        """Delete a document, as a deletion does: first the rows, then the file."""
        from services.knowledge.store.tables import documents, revisions

        with self.database.write() as connection:
            number = connection.scalar(
                revisions.select().with_only_columns(revisions.c.document_id).where(revisions.c.stored == stored.stored)
            )
            connection.execute(revisions.delete().where(revisions.c.document_id == number))
            connection.execute(documents.delete().where(documents.c.id == number))
        self.files.remove([stored.stored])

    def back_up(
        self, rule: RetentionRule | None = None, at: float | None = None, pace: Pace | None = None
    ) -> MadeBackup:
        """Make a backup."""
        with Destination(self.destination, create=True) as destination:
            return make_backup(
                backup_source(self.settings),
                destination,
                SigningKey(self.settings.effective_audit_key),
                rule or RetentionRule(),
                pace or Pace(),
                now=time.time if at is None else lambda: at,
            )

    def check(self, name: str) -> CheckedBackup:
        """Verify a backup."""
        with Destination(self.destination) as destination:
            return BackupChecker(destination, read_key, Pace()).check(name)

    def manifest(self, name: str) -> dict[str, ManifestFile]:
        """Return the files of a backup by their path."""
        with Destination(self.destination) as destination, destination.manifest_lines(name) as lines:
            return {file.path: file for file in ManifestReader(lines, name).files()}

    def blobs(self) -> dict[str, int]:
        """Return the blobs that are there with the inode of each."""
        return {path.name: path.stat().st_ino for path in (self.destination / "blobs").glob("??/*")}


@contextmanager
def pond_in(folder: Path, **given: Any) -> Iterator[Pond]:
    """Make a folder with a collection and three documents; `given` are settings."""
    import_tables()
    from services.knowledge.store.tables import collections

    data = folder / "data"
    data.mkdir(parents=True)
    settings = Settings(data_dir=data, **given)
    database = Database(settings.effective_database_url, checked=True)
    try:
        database.create_tables()
        with database.write() as connection:
            connection.execute(collections.insert().values(name="Documents"))
        pond = Pond(settings, database, open_file_store(settings), folder / "backups")
        for number in range(3):
            pond.add(f"{number}.txt", f"document {number} ".encode() * 1000)
        yield pond
        pond.files.close()
    finally:
        database.close()
