"""Metrics of the backups: nothing where there is no folder for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.backup.backup_types import BackupStage
from services.operations.metrics import Family, MetricValue

if TYPE_CHECKING:
    from services.backup.backup_service import Backups

_AGE = Family("millpond_backup_age_seconds", "Age of the newest backup; missing while there is none.")
_SIZE = Family("millpond_backup_size_bytes", "Size of all files of the newest backup.")
_COUNT = Family("millpond_backups", "Backups that are kept.")
_FAILED = Family("millpond_backup_failed", "1 if the last backup failed.")
_RUNNING = Family("millpond_backup_running", "1 while a backup is made or verified.")
FAMILIES = (_AGE, _SIZE, _COUNT, _FAILED, _RUNNING)


def read(backups: Backups) -> Iterator[MetricValue]:
    """Return where the backups are."""
    status = backups.status()
    if status.last_at is not None:  # also where another node makes them
        yield MetricValue(_AGE, max(0.0, time.time() - status.last_at))
    if not status.destination:
        return
    if status.generations:
        yield MetricValue(_SIZE, status.generations[0].size)
    yield MetricValue(_COUNT, len(status.generations))
    yield MetricValue(_FAILED, float(status.failed_at is not None))
    yield MetricValue(_RUNNING, float(status.stage is not BackupStage.IDLE))
