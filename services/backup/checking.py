"""Verification of backups: signatures, hashes, and whether the database opens with the counts that the manifest has."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.backup.copied_database import counts_of, opened_copy, require_sound, schema_of
from services.backup.destination import Destination, blob_name
from services.backup.manifest import ManifestFile, ManifestHead, ManifestReader, SignatureKeys
from services.backup.pacing import Pace
from services.core.errors import BadInputError, DamagedError
from services.core.i18n import _
from services.core.private_files import create_file
from services.core.settings import DATABASE_FILE

_MOST_PROBLEMS = 1000

# Reads a public key in PEM; the path is where it comes from, for people.
ReadKey = Callable[[bytes, Path], SignatureKeys]


@dataclass(frozen=True, slots=True)
class CheckedBackup:
    """What a verification found of a backup: `head` is None where that cannot be read; without problems it is whole."""

    name: str
    head: ManifestHead | None
    problems: tuple[str, ...]


class BackupChecker:
    """Reads backups and says what is wrong with them; what several have in common is read once."""

    def __init__(
        self,
        destination: Destination,
        read_key: ReadKey,
        pace: Pace,
        trusted: SignatureKeys | None = None,
        *,
        scratch: Path | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            destination: where the backups are.
            read_key: reads the public key that a backup names.
            pace: how fast it goes.
            trusted: whose signatures are accepted; None: that of the key which the backup itself names.
            scratch: where the database is put together for a while; None: where the system has temporary files.
        """
        self._scratch = scratch
        self._destination = destination
        self._read_key = read_key
        self._trusted = trusted
        self._pace = pace
        self._whole: set[str] = set()

    def check(self, name: str) -> CheckedBackup:
        """Read everything of a backup.

        Raises:
            NotFoundError: there is no such backup.
            StorageError: it cannot be read.
        """
        problems: list[str] = []
        head: ManifestHead | None = None
        with self._destination.manifest_lines(name) as lines, tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            try:
                reader = ManifestReader(lines, name)
                head = reader.head
                database = Path(folder) / DATABASE_FILE
                for file in reader.files():
                    self._check_file(file, database, problems)
                self._check_signature(reader)
                if database.exists():
                    check_database(database, head, self._pace.rest)
                elif not problems:
                    problems.append(_("It has no database."))
            except DamagedError as error:
                problems.append(error.message)
        return CheckedBackup(name, head, tuple(problems[:_MOST_PROBLEMS]))

    def require_signed(self, name: str) -> ManifestHead:
        """Return what a backup says of itself; all of its manifest is read, and none of its files.

        Raises:
            NotFoundError: there is no such backup.
            DamagedError: the manifest is damaged, or none of the keys has signed it.
        """
        with self._destination.manifest_lines(name) as lines:
            reader = ManifestReader(lines, name)
            for _file in reader.files():
                pass
            self._check_signature(reader)
        return reader.head

    def _check_signature(self, reader: ManifestReader) -> None:
        key = reader.head.key
        keys = self._trusted
        if keys is None:
            try:
                keys = self._read_key(reader.head.public_key.encode(), Path(reader.head.name))
            except BadInputError as error:
                raise DamagedError(error.message) from error
        if not keys.knows(key):
            raise DamagedError(
                _("The backup {name} was signed by another key ({key}).").format(name=reader.head.name, key=key[:16]),
                _("Name the public key of the data folder that was backed up."),
            )
        if not reader.is_signed(keys):
            raise DamagedError(
                _("The signature of the backup {name} is not valid: its manifest was changed.").format(
                    name=reader.head.name
                ),
                _("Use another backup."),
            )

    def _check_file(self, file: ManifestFile, database: Path, problems: list[str]) -> None:
        if file.sha256 in self._whole and file.path != DATABASE_FILE:
            return
        try:
            blocks = file_content(self._destination, file)
            if file.path == DATABASE_FILE:
                with create_file(database) as copy:
                    for block in blocks:
                        self._pace.step(len(block))
                        copy.write(block)
            else:
                for block in blocks:
                    self._pace.step(len(block))
            self._whole.add(file.sha256)
        except DamagedError as error:
            problems.append(f"{file.path}: {error.message}")
            if file.path == DATABASE_FILE:
                database.unlink(missing_ok=True)


def file_content(destination: Destination, file: ManifestFile) -> Iterator[bytes]:
    """Yield the content of a file of a backup.

    Raises:
        DamagedError: a blob of it is missing or damaged, or it is not what the manifest says.
    """
    size, whole = 0, hashlib.sha256()
    for blob in file.blobs:
        for block in destination.read(blob):
            size += len(block)
            if file.parts:  # else its one blob has the same hash
                whole.update(block)
            yield block
    if size != file.size or (file.parts and whole.hexdigest() != file.sha256):
        raise DamagedError(
            _("{blob} and others are not what the manifest says").format(blob=blob_name(next(iter(file.blobs), "")))
        )


def check_database(path: Path, head: ManifestHead, rest: Callable[[], None]) -> None:
    """Return if the database opens, is sound, and has the schema and the counts that the manifest says.

    Raises:
        DamagedError: it is not so.
    """
    try:
        with opened_copy(path) as connection:
            require_sound(connection, rest)
            counts, schema = counts_of(connection), schema_of(connection)
    except sqlite3.Error as error:
        raise DamagedError(_("SQLite finds the database damaged: {reason}.").format(reason=error)) from error
    if schema != head.schema or counts != dict(head.counts):
        raise DamagedError(_("The database has other counts, or another schema, than the manifest says."))
