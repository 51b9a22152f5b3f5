"""Makes a backup: one state of the database, and the originals that it refers to, while both are in use.

Originals are copied before the state is taken, and those that came meanwhile after it: what is deleted in between is
missing only if it came and went within the backup; then the state is taken once more.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from services.backup.backup_types import BackupSource, BackupStage
from services.backup.copied_database import (
    OriginalFile,
    counts_of,
    opened_copy,
    originals_of,
    require_sound,
    schema_of,
)
from services.backup.destination import Destination, disk_errors, locked
from services.backup.last_copy import begin_from_last
from services.backup.manifest import POSTGRESQL, ManifestFile, ManifestHead, ManifestReader, Signer, written
from services.backup.pacing import Pace
from services.backup.retention import RetentionRule, kept
from services.backup.sources import GoneError, reading_errors, unreadable
from services.core.database.copy import copy_database, one_state
from services.core.errors import BadInputError, ConflictError, DamagedError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import make_folder, open_descriptor
from services.core.schema_version import this_version
from services.core.settings import DATABASE_FILE

STAGING, LOCK_FILE = "backup-in-progress", "backup.lock"
HISTORY = "memory/history.db"
# The database is stored in parts of this size, so that what did not change is not stored again.
PART_BYTES = MEGABYTE // 4
_SPARE_BYTES = 16 * MEGABYTE
_ATTEMPTS = 3
DAMAGED, MISSING = "damaged", "missing"
Report = Callable[[BackupStage, int], None]


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """A backup that was made, and which ones the rule has removed."""

    head: ManifestHead
    removed: tuple[str, ...]


def make_backup(
    source: BackupSource,
    destination: Destination,
    signer: Signer,
    rule: RetentionRule,
    pace: Pace,
    *,
    now: Callable[[], float],
    alone: bool = False,
    report: Report = lambda _stage, _total: None,
) -> MadeBackup:
    """Make a backup, and remove those that the rule does not keep; `destination` is open and locked.

    Args:
        source: what is backed up.
        destination: where to.
        signer: signs the manifest.
        rule: which backups are kept.
        pace: how fast it goes, and when it ends.
        now: seconds since 1970.
        alone: no other process can open the data folder meanwhile.
        report: called with each stage and how many bytes it is about.

    Raises:
        ConflictError: another backup of the folder is at work, or another version has written the database.
        StorageError: something cannot be read or written; backups from before are whole.
        UnavailableError: the database or the place of the originals does not answer; as above.
        DamagedError: the database is damaged; backups from before are whole.
        CancelledError: `pace` says so.
    """
    with staging_folder(source.folder) as staging:
        maker = _Maker(source, destination, pace, staging, alone=alone, report=report)
        head, files = maker.copy(signer, now)
        destination.write_manifest(head.name, written(head, files, signer))
    report(BackupStage.TIDYING, 0)
    return MadeBackup(head, tidy(destination, head, rule, pace))


def tidy(destination: Destination, newest: ManifestHead, rule: RetentionRule, pace: Pace) -> tuple[str, ...]:
    """Remove the backups by the key of `newest` that the rule does not keep, and blobs that none refers to."""
    own: dict[str, float] = {}
    named: set[bytes] = set()
    readable = True
    for name in destination.generations():
        try:
            with destination.manifest_lines(name) as lines:
                head = ManifestReader(lines, name).head
        except DamagedError:
            continue
        if head.key == newest.key:
            own[name] = head.made_at
    keep = kept(own.values(), rule)
    removed = tuple(name for name, made_at in own.items() if made_at not in keep and name != newest.name)
    for name in removed:
        destination.remove_manifest(name)
    for name in destination.generations():
        try:
            with destination.manifest_lines(name) as lines:
                for file in ManifestReader(lines, name).files():
                    named.update(bytes.fromhex(blob) for blob in file.blobs)
                    pace.step(256)
        except DamagedError:  # nobody knows what it refers to
            readable = False
    if readable:
        destination.remove_blobs(named)
    return removed


class _Maker:
    def __init__(
        self,
        source: BackupSource,
        destination: Destination,
        pace: Pace,
        staging: Path,
        *,
        alone: bool,
        report: Report,
    ) -> None:
        self._source = source
        self._destination = destination
        self._pace = pace
        self._staging = staging
        self._alone = alone
        self._report = report
        self._copied = 0
        self._files: list[ManifestFile] = []

    def copy(self, signer: Signer, now: Callable[[], float]) -> tuple[ManifestHead, Iterator[ManifestFile]]:
        """Copy everything; return the manifest to write: its head and its files."""
        key, public_key = signer.fingerprint, signer.public_pem
        small = self._small()  # before the database: it must not speak of what that does not have yet
        originals = self._source.database.originals(alone=self._alone)
        unusable = self._originals(originals)
        database, made_at = self._staging / DATABASE_FILE, now()
        if self._source.database.engine == POSTGRESQL:
            begin_from_last(self._destination, key, database, self._pace)
        known: set[str] | None = None
        for _attempt in range(_ATTEMPTS):
            made_at = now()
            self._copy_database(database)
            with reading_errors(), opened_copy(database) as copy:
                originals = originals_of(copy)
            unusable = self._originals(originals)
            missing = {path for path, what in unusable.items() if what == MISSING}
            if not missing or missing == known:
                break
            known = missing
        self._report(BackupStage.DATABASE, database.stat().st_size)
        with reading_errors(), opened_copy(database) as copy:
            require_sound(copy, self._pace.rest)
            counts, schema = counts_of(copy), schema_of(copy)
        self._store_parts(DATABASE_FILE, database)
        self._history()
        for path, content in small.items():
            self._store_small(path, content)
        whole = [each for each in originals if each.path not in unusable]
        head = ManifestHead(
            name=f"{datetime.fromtimestamp(made_at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            made_at=made_at,
            schema=schema,
            version=this_version(),
            counts=counts,
            size=sum(file.size for file in self._files) + sum(each.size for each in whole),
            files=len(self._files) + len(whole),
            copied=self._copied,
            left_out={
                kind: sorted(path for path, what in unusable.items() if what == kind) for kind in (DAMAGED, MISSING)
            },
            key=key,
            public_key=public_key,
            engine=self._source.database.engine,
        )
        return head, chain(self._files, (ManifestFile(each.path, each.size, each.sha256) for each in whole))

    # Originals

    def _originals(self, wanted: list[OriginalFile]) -> dict[str, str]:
        """Store the originals that are not there yet; return which could not be, by what is wrong."""
        new = [each for each in wanted if not self._destination.has(each.sha256, each.size)]
        self._report(BackupStage.FILES, sum(each.size for each in new))
        unusable: dict[str, str] = {}
        for each in new:
            try:
                if each.size and not self._destination.store(each.sha256, self._content(each.stored)):
                    unusable[each.path] = DAMAGED
                    continue
            except GoneError:
                unusable[each.path] = MISSING
                continue
            self._copied += each.size
        return unusable

    def _content(self, stored: str) -> Iterator[bytes]:
        for block in self._source.originals.content(stored):
            self._pace.step(len(block))
            yield block

    # Databases

    def _copy_database(self, target: Path) -> None:
        size = self._source.database.size()
        free = shutil.disk_usage(self._staging).free
        if free < size + _SPARE_BYTES:
            raise StorageError(
                _("A backup needs {need:,.0f} MB in the data folder for a while, and {free:,.0f} MB are free.").format(
                    need=(size + _SPARE_BYTES) / MEGABYTE, free=free / MEGABYTE
                ),
                _("Free some disk space; backups from before are whole."),
            )
        self._report(BackupStage.DATABASE, size)
        with disk_errors(self._staging):
            self._source.database.copy(target, self._pace.step, alone=self._alone)

    def _history(self) -> None:
        """Copy the history of the memory; one that cannot be read begins anew after a restore."""
        path, target = self._source.folder / HISTORY, self._staging / "history.db"
        if not path.exists():
            return
        try:
            with one_state(path, alone=self._alone) as source:
                copy_database(source, target, progress=lambda _left, _all: self._pace.rest())
        except (sqlite3.Error, ConflictError):
            return
        self._store_parts(HISTORY, target)

    def _store_parts(self, path: str, copy: Path) -> None:
        """Store a file in parts of equal size, so that those which are there already are not stored again."""
        whole, parts, size = hashlib.sha256(), [], 0
        with disk_errors(self._staging), copy.open("rb") as file:
            while part := file.read(PART_BYTES):
                whole.update(part)
                size += len(part)
                parts.append(self._store_bytes(part))
                self._pace.step(len(part))
        self._files.append(ManifestFile(path, size, whole.hexdigest(), tuple(parts)))

    # Small files

    def _small(self) -> dict[str, bytes]:
        found = {}
        for path, location in self._source.small:
            try:
                found[path] = location.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unreadable(location, error) from error
        return found

    def _store_small(self, path: str, content: bytes) -> None:
        self._files.append(ManifestFile(path, len(content), self._store_bytes(content)))

    def _store_bytes(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._destination.has(sha256, len(content)):
            self._destination.store(sha256, [content])
            self._copied += len(content)
        return sha256


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder for copies of the databases, within the data folder; what a killed backup left there is removed.

    Raises:
        ConflictError: another backup of the data folder is at work.
    """
    staging = folder / STAGING
    with ExitStack() as closing, disk_errors(folder):
        lock = open_descriptor(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        closing.callback(os.close, lock)
        locked(lock, folder)
        shutil.rmtree(staging, ignore_errors=True)
        make_folder(staging)
        closing.callback(shutil.rmtree, staging, ignore_errors=True)
        yield staging


def remove_left_over(folder: Path) -> None:
    """Remove what a killed backup left in a data folder, unless another one is at work there."""
    if not (folder / STAGING).exists():
        return
    with disk_errors(folder), staging_folder(folder):
        pass


def require_apart(source: Path, destination: Path) -> None:
    """Return if neither folder is in the other one.

    Raises:
        BadInputError: one is; a backup there goes with what it is a backup of.
    """
    inner, outer = destination.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise BadInputError(
            _("Backups cannot be written to {path}: it is in the data folder, or the other way round.").format(
                path=destination
            ),
            _("Name a folder elsewhere, best on another disk."),
        )
