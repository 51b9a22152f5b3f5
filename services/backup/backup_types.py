"""What is told of backups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.backup.sources import BackupDatabase, BackupOriginals


class BackupStage(StrEnum):
    """What is done at present."""

    IDLE = "idle"
    FILES = "files"  # originals are copied
    DATABASE = "database"  # it is copied, checked and stored
    TIDYING = "tidying"  # old backups are removed
    VERIFYING = "verifying"


@dataclass(frozen=True, slots=True)
class BackupSource:
    """Where what is backed up lies.

    Attributes:
        folder: the data folder.
        database: the main database.
        originals: where originals are kept.
        small: files that are copied as they are, by their name in a backup; those that are missing are left out.
    """

    folder: Path
    database: BackupDatabase
    originals: BackupOriginals
    small: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, slots=True)
class BackupGeneration:
    """A backup that is there.

    Attributes:
        name: its name, by which it is restored.
        made_at: the moment of its state, in seconds since 1970.
        size: of all its files, in bytes; `copied`: what it added to those that were there.
        files: how many it has.
        counts: of documents, revisions, chunks, conversations and people.
        schema: the revision of its database.
        engine: what that was in: sqlite or postgresql.
        left_out: how many originals were damaged or missing when it was made.
        key: the fingerprint of the key that signed it.
        verified_at: when this server last found all of it whole, in seconds since 1970; null: not yet.
        problems: how many damaged files that verification found.
    """

    name: str
    made_at: float
    size: int
    copied: int
    files: int
    counts: Mapping[str, int]
    schema: str
    engine: str
    left_out: int
    key: str
    verified_at: float | None = None
    problems: int = 0


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """Where backups are.

    Attributes:
        destination: the folder that they are written to, "" for none.
        hours: the time between two of them, in hours; 0: only when somebody asks for one.
        stage: what is done at present; `done` of `total` bytes of it, as far as that is known.
        last_at: the moment of the newest one, in seconds since 1970; null: there is none.
        made_by: the node that made it, where several share the database; "": this one, or a command.
        due_at: when the next one begins; null: nobody knows.
        failed_at: when the last attempt failed; null: it did not. `error` and `hint` say why.
        warning: what is wrong, in words: the last one failed, or is older than twice the schedule.
        generations: what is there, the newest first.
    """

    destination: str
    hours: float
    stage: BackupStage
    done: int
    total: int
    last_at: float | None
    made_by: str
    due_at: float | None
    failed_at: float | None
    error: str
    hint: str
    warning: str
    generations: tuple[BackupGeneration, ...]
