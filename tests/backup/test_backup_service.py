from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.app.build_backups import backup_source, read_key
from services.app.metrics import backup as metrics
from services.audit.signing import SigningKey
from services.backup.backup_service import Backups
from services.backup.backup_types import BackupStage
from services.backup.pacing import Pace
from services.core.actor import Actor, Role
from services.core.errors import CancelledError, ConflictError, ForbiddenError
from services.core.events import EventKind
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.backup.pond import Pond, pond_in
from tests.backup.test_making import flip
from tests.events import RecordingEventSink
from tests.servers import eventually

ADMIN = Actor("ada", Role.ADMIN)
HOUR = 3600.0


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[Pond]:
    with pond_in(tmp_path) as pond:
        yield pond


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def backing_up(
    pond: Pond, clock: Time, events: RecordingEventSink | None = None, **settings: object
) -> Iterator[Backups]:
    """The service at work on the folder."""
    given = {"backup_destination": str(pond.destination), "data_dir": pond.settings.data_dir} | settings
    backups = Backups(
        backup_source(pond.settings),
        Settings.model_validate(given),
        SigningKey(pond.settings.effective_audit_key),
        read_key,
        Preferences(pond.database),
        events or RecordingEventSink(),
        busy=lambda: False,
        now=clock,
    )
    backups.start_worker()
    try:
        yield backups
    finally:
        backups.close()


def idle(backups: Backups, made: int) -> bool:
    status = backups.status()
    return status.stage is BackupStage.IDLE and len(status.generations) == made


def test_backups_are_made_by_the_clock_and_when_asked(pond: Pond) -> None:
    """None would be made, or one after the other; a restart would begin with another one though none is due."""
    clock, events = Time(), RecordingEventSink()
    with backing_up(pond, clock, events) as backups:
        eventually(lambda: idle(backups, 1), what="the first backup")
        status = backups.status()
        assert status.last_at == clock.now
        assert status.due_at == clock.now + 24 * HOUR
        assert (status.warning, status.failed_at) == ("", None)
        assert events.events[-1][1] is EventKind.BACKUP
        clock.now += HOUR
        backups.start_backup(ADMIN)
        eventually(lambda: idle(backups, 2), what="the backup that was asked for")
    clock.now += HOUR
    with backing_up(pond, clock) as backups:
        eventually(lambda: idle(backups, 2), what="the list after a restart")
        assert backups.status().due_at == clock.now + 23 * HOUR
        values = {value.family.name: value.value for value in metrics.read(backups)}
        assert values["millpond_backups"] == 2
        assert values["millpond_backup_failed"] == 0
        assert values["millpond_backup_size_bytes"] == backups.status().generations[0].size


def test_a_failure_is_told_and_tried_again(pond: Pond) -> None:
    """People would learn that there is no backup when they need one."""
    clock = Time()
    pond.destination.write_text("a file where the folder should be")
    with backing_up(pond, clock) as backups:
        eventually(lambda: backups.status().failed_at, what="the failure")
        status = backups.status()
        assert "The last backup failed" in status.warning
        assert str(pond.destination) in status.error
        assert status.due_at == clock.now + HOUR / 4
    with backing_up(pond, clock) as backups:  # a restart forgets nothing
        assert "The last backup failed" in backups.status().warning
    pond.destination.unlink()
    clock.now += HOUR
    with backing_up(pond, clock) as backups:
        eventually(lambda: idle(backups, 1), what="the next attempt")
        assert backups.status().warning == ""
        assert backups.status().failed_at is None


def test_a_disk_that_is_not_mounted_is_not_taken_for_a_new_folder(pond: Pond) -> None:
    """Backups would go to the disk that they should save, and nobody would learn that the old ones are not there."""
    clock = Time()
    with backing_up(pond, clock) as backups:
        eventually(lambda: idle(backups, 1), what="the first backup")
    pond.destination.rename(pond.destination.with_name("unmounted"))
    clock.now += HOUR
    with backing_up(pond, clock) as backups:
        assert backups.status().due_at == clock.now + 23 * HOUR
    clock.now += 24 * HOUR
    with backing_up(pond, clock) as backups:
        eventually(lambda: backups.status().failed_at and idle(backups, 0), what="the refusal")
        assert "no backups any more" in backups.status().warning
        assert not pond.destination.exists()
        backups.start_backup(ADMIN)
        eventually(lambda: idle(backups, 1), what="the backup that was asked for")
        assert backups.status().warning == ""


def test_an_old_backup_is_a_warning(pond: Pond) -> None:
    """A timer that does not run any more would not be noticed."""
    clock = Time()
    pond.back_up(at=clock.now)
    clock.now += 49 * HOUR
    with backing_up(pond, clock) as backups:
        eventually(lambda: idle(backups, 2), what="the backup that is due")
        assert backups.status().warning == ""
        clock.now += 49 * HOUR
        assert "older than twice" in backups.status().warning


def test_the_newest_is_verified_when_asked(pond: Pond) -> None:
    """The page would call a damaged backup good."""
    clock = Time()
    with backing_up(pond, clock, backup_hours=0) as backups:
        backups.start_backup(ADMIN)
        eventually(lambda: idle(backups, 1), what="the backup")
        backups.start_verification(ADMIN)
        eventually(lambda: backups.status().generations[0].verified_at, what="the verification")
        assert backups.status().generations[0].problems == 0
        flip(next((pond.destination / "blobs").glob("??/*")), 5)
        clock.now += 1
        eventually(lambda: idle(backups, 1), what="the end")
        backups.start_verification(ADMIN)
        eventually(lambda: backups.status().generations[0].problems, what="what is damaged")
        assert "damaged" in backups.status().warning


@pytest.mark.parametrize("role", [Role.USER, Role.OPERATOR, Role.AUDITOR])
def test_only_administrators_make_and_verify_backups(pond: Pond, role: Role) -> None:
    """Anybody could fill the disk, or slow everybody down."""
    with backing_up(pond, Time(), backup_hours=0) as backups:
        for act in (backups.start_backup, backups.start_verification):
            with pytest.raises(ForbiddenError):
                act(Actor("somebody", role))
        assert idle(backups, 0)


def test_without_a_folder_nothing_is_done(pond: Pond) -> None:
    """A backup would be written somewhere, or the button would do nothing and say nothing."""
    with backing_up(pond, Time(), backup_destination="") as backups:
        with pytest.raises(ConflictError, match="No folder"):
            backups.start_backup(ADMIN)
        assert backups.status().warning == ""
        assert list(metrics.read(backups)) == []


def test_a_backup_ends_soon_when_the_server_does() -> None:
    """A restart would wait for a backup of many gigabytes."""
    stopping = threading.Event()
    pace = Pace(lambda: True, stopping)
    pace.step(MEGABYTE)
    stopping.set()
    with pytest.raises(CancelledError):
        pace.step(MEGABYTE)
