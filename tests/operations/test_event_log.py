from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from services.core.database import Database
from services.core.events import EventKind
from services.operations.event_log import EventLog
from tests.databases import database_url
from tests.servers import ROOT


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(database_url(tmp_path), patience=0.2)
    database.create_tables()
    yield database
    database.close()


class Ticking:
    """A clock that is a second later each time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_events_outlive_the_process(database: Database) -> None:
    """Kind, words, figures and actor are the same after a restart, and the order is that of time."""
    first = EventLog(Ticking(), database)
    first.record(EventKind.UPLOAD, "a.pdf", {"bytes": 12.0, "seconds": 0.5}, actor="ada")
    first.record(EventKind.DELETION, "b.pdf")
    first.flush()
    second = EventLog(Ticking(), database)
    found = second.between(0, 1e6)
    assert [(event.time, event.kind, event.detail, event.figures, event.actor) for event in found] == [
        (1001.0, EventKind.UPLOAD, "a.pdf", {"bytes": 12.0, "seconds": 0.5}, "ada"),
        (1002.0, EventKind.DELETION, "b.pdf", {}, ""),
    ]
    second.record(EventKind.TRIM)
    second.flush()
    ids = [event.id for event in second.between(0, 1e6)]
    assert len(set(ids)) == 3


def test_an_event_is_there_before_it_is_written(database: Database) -> None:
    """A page shows what happened a moment ago, and shows it once, whether or not it is on disk yet."""
    events = EventLog(Ticking(), database)
    for number in range(10):
        events.record(EventKind.MODEL, str(number))
        if number == 4:
            events.flush()
    assert [event.detail for event in events.between(0, 1e6)] == [str(number) for number in range(10)]
    events.flush()
    events.flush()
    assert [event.detail for event in events.between(0, 1e6)] == [str(number) for number in range(10)]


def test_range_limit_and_kinds(database: Database) -> None:
    """The newest of the chosen kinds within the range, oldest first."""
    events = EventLog(Ticking(), database)
    for number in range(30):
        events.record(EventKind.UPLOAD if number % 3 else EventKind.TRIM, str(number))
        if number == 15:
            events.flush()
    assert [event.detail for event in events.between(1005, 1007)] == ["4", "5", "6"]
    assert [event.detail for event in events.between(0, 1e6, limit=3)] == ["27", "28", "29"]
    assert [event.detail for event in events.between(0, 1e6, 4, [EventKind.TRIM])] == ["18", "21", "24", "27"]
    assert events.between(0, 1e6, 4, []) == []
    assert events.between(0, 1e6, 0) == []


def test_the_oldest_make_room(database: Database) -> None:
    """The table is bounded: with the limit reached the oldest go, one for each that comes."""
    events = EventLog(Ticking(), database, kept=50)
    for number in range(500):
        events.record(EventKind.UPLOAD, str(number))
        if number % 20 == 0:
            events.flush()
    events.flush()
    assert [event.detail for event in events.between(0, 1e6, 1000)] == [str(number) for number in range(450, 500)]


def test_without_a_database_the_newest_stay_in_ram() -> None:
    """A log without a disk is bounded too."""
    events = EventLog(Ticking())
    for number in range(5000):
        events.record(EventKind.UPLOAD, str(number))
    events.flush()
    found = events.between(0, 1e6, 10_000)
    assert len(found) == 1000
    assert found[-1].detail == "4999"
    assert events.last_end() == "first start with this data folder"


def test_what_is_recorded_is_bounded(database: Database) -> None:
    """Endless words, countless figures and figures that JSON cannot say are cut, not refused."""
    events = EventLog(Ticking(), database)
    figures = {"nan": float("nan"), "infinite": float("inf")} | {f"figure {number}": 1.0 for number in range(100)}
    events.record(EventKind.UPLOAD, "x" * 10_000, figures, actor="y" * 10_000)
    events.flush()
    (event,) = EventLog(Ticking(), database).between(0, 1e6)
    assert len(event.detail) == 500
    assert len(event.actor) == 200
    assert 0 < len(event.figures) <= 20
    assert "nan" not in event.figures


def test_recording_never_waits_for_the_disk(database: Database) -> None:
    """Whoever reports is not held up by a writer that takes its time."""
    events = EventLog(time.time, database)
    began, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            began.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    began.wait(30)
    flushing = threading.Thread(target=events.flush)
    events.record(EventKind.UPLOAD, "1")
    flushing.start()
    recording = threading.Thread(target=events.record, args=(EventKind.UPLOAD, "2"))
    recording.start()
    recording.join(10)
    assert not recording.is_alive()
    assert [event.detail for event in events.between(0, 1e12)] == ["1", "2"]
    release.set()
    holder.join()
    flushing.join()


def test_a_locked_file_is_said_once_and_made_up_for(database: Database, tmp_path: Path) -> None:
    """What could not be written stays in RAM and on the page, and is written when that is possible again."""
    events = EventLog(Ticking(), database)
    with closing(sqlite3.connect(tmp_path / "millpond.db")) as other, structlog.testing.capture_logs() as lines:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            events.record(EventKind.UPLOAD, str(number))
            events.flush()
        assert [line["event"] for line in lines] == ["events are kept in RAM for now"]
        assert [event.detail for event in events.between(0, 1e6)] == ["0", "1", "2"]
        other.rollback()
    events.flush()
    assert [event.detail for event in EventLog(Ticking(), database).between(0, 1e6)] == ["0", "1", "2"]


def test_many_threads_record_while_others_read(database: Database) -> None:
    """No event is lost or shown twice while threads record, flush and read at once."""
    events = EventLog(time.time, database)
    doubled: list[int] = []
    ended = threading.Event()

    def record(writer: int) -> None:
        for number in range(100):
            events.record(EventKind.UPLOAD, f"{writer} {number}")

    def read() -> None:
        while not ended.is_set():
            details = [event.detail for event in events.between(0, 1e12, 5000)]
            doubled.append(len(details) - len(set(details)))
            events.flush()

    writers = [threading.Thread(target=record, args=(number,)) for number in range(8)]
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    for thread in readers:
        thread.join()
    events.flush()
    assert not any(doubled)
    assert len(EventLog(time.time, database).between(0, 1e12, 5000)) == 800


def test_a_clean_end_is_told_from_a_kill(tmp_path: Path) -> None:
    """The next start says in words how the last run ended: not at all, killed, or as it should."""
    url = database_url(tmp_path)
    command = [sys.executable, "-m", "tests.operations.recording", url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        process.kill()
    database = Database(url)
    events = EventLog(time.time, database)
    assert [(event.kind, event.detail) for event in events.between(0, 1e12)] == [
        (EventKind.START, "first start with this data folder"),
        (EventKind.MODEL, "loaded"),
    ]
    assert "killed or crashed" in events.last_end()
    assert "the machine went down after 1970-01-01 00:00" not in events.last_end(seen=1.0)
    events.record(EventKind.START, events.last_end())
    events.record(EventKind.STOP)
    events.flush()
    assert "ended normally" in EventLog(time.time, database).last_end()
    database.close()


def test_a_machine_that_went_down_is_not_called_a_kill(database: Database) -> None:
    """A power cut or a restart of the machine is no fault of the process."""
    events = EventLog(Ticking(), database)
    events.record(EventKind.START)
    events.flush()
    assert "the machine went down after 1970-01-01 00:16 UTC" in events.last_end()
    assert "killed or crashed" in events.last_end(seen=time.time())


def test_the_name_of_a_deleted_document_leaves_the_events(database: Database) -> None:
    """Deleted means gone: the time line went on naming the file, in RAM and on disk."""
    events = EventLog(Ticking(), database)
    events.record(EventKind.UPLOAD, "secret.pdf", {"documents": 1.0})
    events.flush()
    events.record(EventKind.UPLOAD, "secret.pdf", {"documents": 1.0})
    events.record(EventKind.UPLOAD, "other.pdf", {"documents": 1.0})
    events.record(EventKind.UPLOAD, "5 more", {"count": 5.0})
    events.record(EventKind.SETTINGS, "secret.pdf")
    events.forget(["secret.pdf", "5 more"])
    gone = "a document that was deleted"
    assert [event.detail for event in events.between(0, 1e9)] == [gone, gone, "other.pdf", "5 more", "secret.pdf"]
    in_ram = EventLog(Ticking())
    in_ram.record(EventKind.UPLOAD, "secret.pdf", {"documents": 1.0})
    in_ram.forget(["secret.pdf"])
    assert [event.detail for event in in_ram.between(0, 1e9)] == [gone]


def test_names_that_a_killed_process_left_are_found_at_the_start(database: Database) -> None:
    """A kill between the deletion and the events: whatever names no document any more is taken out."""
    events = EventLog(Ticking(), database)
    for name in ("kept.pdf", "gone.pdf", "gone.pdf"):
        events.record(EventKind.UPLOAD, name, {"documents": 1.0})
    events.flush()
    again = EventLog(Ticking(), database)
    assert again.forget_others(lambda: {"kept.pdf"}) == 1
    assert again.forget_others(lambda: {"kept.pdf"}) == 0
    assert next(event.detail for event in again.between(0, 1e9)) == "kept.pdf"
    assert "gone.pdf" not in {event.detail for event in again.between(0, 1e9)}
