from __future__ import annotations

import json
import os
import re
import signal
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import (
    BadInputError,
    ConflictError,
    DamagedError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from services.core.events import EventKind
from services.memory.clock import Clock
from services.memory.tracing import session, snapshot_file, snapshot_store
from services.memory.tracing import tracer as tracer_module
from services.memory.tracing.snapshot_store import SnapshotStore
from services.memory.tracing.tracer import Tracer
from services.memory.tracing.types import GroupBy, RowChange, SourceLine, TraceFilters
from tests.memory.tracing import growing_code
from tests.memory.tracing.conftest import RecordedEvents
from tests.servers import eventually

PLANTED = SourceLine(growing_code.FILE, growing_code.LEAK_LINE)


def test_a_planted_allocation_is_found_at_its_line(tracer: Tracer) -> None:
    """What grew between two snapshots is named by line, with bytes, blocks, source and the way there."""
    kept: list[bytearray] = []
    tracer.start(SERVICE, frames=5, minutes=5)
    old = tracer.take_snapshot(SERVICE, "before")
    growing_code.leak_deeper(kept, 500)
    new = tracer.take_snapshot(SERVICE, "after", note="500 more")

    found = tracer.compare(old.id, new.id)
    row = found.rows[0]
    assert row.place == PLANTED
    assert 500_000 <= row.bytes_diff <= 560_000
    assert row.blocks_diff in {1000, 999, 1001}  # each is an object and its buffer
    assert row.change is RowChange.NEW
    assert row.source.startswith("kept.append(bytearray(1000))")
    assert found.same_run

    way = tracer.compare(old.id, new.id, GroupBy.TRACEBACK, at=PLANTED).rows[0]
    assert way.frames[-2:] == (SourceLine(growing_code.FILE, growing_code.DEEPER_LINE), PLANTED)
    file = tracer.compare(old.id, new.id, GroupBy.FILE).rows[0]
    assert file.place == SourceLine(growing_code.FILE, 0)
    assert file.bytes_diff >= row.bytes_diff

    kept.clear()
    gone = tracer.take_snapshot(SERVICE)
    assert tracer.compare(new.id, gone.id).rows[0].change is RowChange.GONE
    assert tracer.compare("", new.id).rows[0].bytes > 0
    assert [info.name for info in tracer.snapshots()] == ["", "after", "before"]


def test_growth_names_the_line_and_its_pace(tracer: Tracer) -> None:
    """The verdict's suspects come from the oldest and newest snapshot of this stretch, not of an earlier one."""
    kept: list[bytearray] = []
    tracer.start(SERVICE, frames=3, minutes=5)
    assert tracer.growth() == ()
    tracer.take_snapshot(SERVICE)
    growing_code.leak(kept, 300)
    tracer.take_snapshot(SERVICE)
    first = tracer.growth()[0]
    assert first.place == PLANTED
    assert first.bytes >= 300_000
    assert first.bytes_per_hour >= first.bytes
    name, slope = tracer.growing_lines()[0]
    assert name.endswith(f"growing_code.py:{growing_code.LEAK_LINE}")
    assert slope == first.bytes_per_hour
    tracer.stop(SERVICE)
    assert tracer.growth() == ()
    tracer.start(SERVICE, frames=1, minutes=5)
    assert tracer.growth() == ()


def test_own_code_behind_a_library_is_named(tracer: Tracer, tmp_path: Path) -> None:
    """With several frames, bytes that a library allocates are counted for the line of ours that called it."""
    Database(f"sqlite:///{tmp_path}/warm.db").close()
    tracer.start(SERVICE, frames=25, minutes=5)
    old = tracer.take_snapshot(SERVICE)
    databases = [Database(f"sqlite:///{tmp_path}/{number}.db") for number in range(5)]
    new = tracer.take_snapshot(SERVICE)
    ours = tracer.compare(old.id, new.id, filters=TraceFilters(ours=True))
    assert ours.rows[0].place.file.endswith("services/core/database/sqlite.py")
    assert all("/services/" in row.place.file for row in ours.rows)
    assert ours.rows[0].source
    grown = [found for found in tracer.growth() if "/sqlalchemy/" in found.place.file]
    assert grown
    assert all(found.own is not None and "/services/core/database/" in found.own.file for found in grown)
    assert any("called by services/core/database/" in name for name, _slope in tracer.growing_lines())
    for database in databases:
        database.close()


def test_it_ends_by_itself(tmp_path: Path, events: RecordedEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing that somebody forgot would slow the service for good; a last snapshot is taken before it ends."""
    # On a busy machine the process of all these tests forks too slowly for snapshots that nobody asked for.
    monkeypatch.setattr("services.memory.tracing.tracer.fork_snapshot.expected_pause_seconds", lambda: 0.01)
    tracer = Tracer(tmp_path, Clock(speed=60), events)
    tracer.start(SERVICE, frames=1, minutes=3)
    status = tracer.status()
    assert status.on
    assert 0 < status.remaining <= 180
    eventually(lambda: not tracer.status().on, seconds=30, what="the end of tracing")
    assert not tracemalloc.is_tracing()
    eventually(lambda: len(events.recorded) >= 3, what="the reports")
    assert all(info.automatic for info in tracer.snapshots())
    assert tracer.snapshots()
    assert {kind for kind, _detail, _figures in events.recorded} == {EventKind.TRACING}
    assert [events.recorded[0][1], events.recorded[-1][1]] == ["Tracing on", "Tracing off, its time was up"]
    assert not [thread for thread in threading.enumerate() if thread.name == "memory-tracing" and thread.is_alive()]
    tracer.start(SERVICE, frames=1, minutes=3)
    tracer.close()
    assert not tracer.status().on


def test_on_and_off(tracer: Tracer) -> None:
    """Figures are there while it is on, and every wrong order is refused with words."""
    off = tracer.status()
    assert (off.on, off.traced) == (False, 0)
    with pytest.raises(ConflictError, match="off"):
        tracer.take_snapshot(SERVICE)
    for frames, minutes in ((0, 5), (26, 5), (1, 0), (1, 100_000), (1, float("nan"))):
        with pytest.raises(BadInputError):
            tracer.start(SERVICE, frames, minutes)
    status = tracer.start(SERVICE, frames=7, minutes=5)
    assert (status.on, status.foreign, status.frames) == (True, False, 7)
    kept = [bytearray(1000) for _ in range(1000)]
    status = tracer.status()
    assert status.traced > 1_000_000
    assert status.overhead > 50_000
    assert status.pause > 0
    with pytest.raises(ConflictError, match="on already"):
        tracer.start(SERVICE, 1, 1)
    assert not tracer.stop(SERVICE).on
    assert not tracer.stop(SERVICE).on
    assert len(kept) == 1000


def test_something_else_traces(tracer: Tracer) -> None:
    """Tracing that was switched on elsewhere is told, usable, and not switched off by us."""
    tracemalloc.start(2)
    try:
        status = tracer.status()
        assert (status.on, status.foreign, status.frames) == (True, True, 2)
        with pytest.raises(ConflictError, match="PYTHONTRACEMALLOC"):
            tracer.start(SERVICE, 1, 5)
        assert tracer.take_snapshot(SERVICE).frames == 2
        assert tracer.stop(SERVICE).on
    finally:
        tracemalloc.stop()


def test_the_cost_is_measured_elsewhere(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the cost must not switch tracing on in this process, and deeper must cost more."""
    monkeypatch.setattr(session, "_ROUNDS", 3)
    assert tracer.known_cost(1) is None
    cost = tracer.cost(1)
    assert not tracemalloc.is_tracing()
    assert cost.slowdown > 1.5
    assert 20 < cost.bytes_per_block < 200
    assert tracer.known_cost(1) is tracer.cost(1) is cost
    assert tracer.cost(25).slowdown > cost.slowdown


def test_killed_while_taking(tracer: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that dies in the middle of writing leaves neither a file nor an entry."""

    def write_and_die(found: snapshot_file.Traces, path: Path) -> int:
        path.write_bytes(b"half a snapshot")
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    tracer.start(SERVICE, 1, 5)
    whole = tracer.take_snapshot(SERVICE)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(snapshot_store, "write_traces", write_and_die)
    with pytest.raises(UnavailableError, match="ended before it was done"):
        tracer.take_snapshot(SERVICE)
    assert sorted(tmp_path.rglob("*")) == before
    assert [info.id for info in tracer.snapshots()] == [whole.id]


def test_the_disk_refuses(tracer: Tracer, tmp_path: Path) -> None:
    """A folder that cannot be made is a clear message, not a defect."""
    (tmp_path / "allocations").write_text("a file where the folder should be")
    tracer.start(SERVICE, 1, 5)
    with pytest.raises(StorageError, match="refused"):
        tracer.take_snapshot(SERVICE)


def test_too_little_memory(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that would bring the machine down is not made."""
    tracer.start(SERVICE, 1, 5)
    monkeypatch.setattr(tracer_module.tracing_session, "COPY_BYTES_PER_TRACE", 10**12)
    kept = [bytearray(10) for _ in range(1000)]
    with pytest.raises(UnavailableError, match="more than is free"):
        tracer.take_snapshot(SERVICE)
    assert len(kept) == 1000


def test_snapshots_survive_and_tracing_does_not(tracer: Tracer, tmp_path: Path) -> None:
    """After a restart the snapshots are there with their names, what was half is swept, and tracing is off."""
    tracer.start(SERVICE, 2, 5)
    info = tracer.take_snapshot(SERVICE, "kept", note="for later")
    tracer.close()
    folder = tmp_path / "allocations"
    for name in ("0123456789abcdef.npz", "0123456789abcdee.npz.partial", "0123456789abcded.json.partial"):
        (folder / name).write_bytes(b"left behind")
    again = Tracer(tmp_path, Clock(), RecordedEvents())
    assert again.snapshots() == [tracer.info(info.id)]
    assert (again.info(info.id).name, again.info(info.id).note) == ("kept", "for later")
    assert sorted(path.name for path in folder.iterdir()) == [f"{info.id}.json", f"{info.id}.npz"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    assert not again.status().on


def test_damaged_files_are_told(tracer: Tracer, tmp_path: Path) -> None:
    """A file with other content, cut or changed, ends in a message; a lost description keeps the entry deletable."""
    tracer.start(SERVICE, 2, 5)
    info = tracer.take_snapshot(SERVICE)
    file = tracer.file(info.id)
    content = file.read_bytes()
    spoilt: list[bytes] = [
        b"",
        b"no zip at all",
        content[: len(content) // 2],
        content[:200] + b"x" * 50 + content[250:],
    ]
    for number, broken in enumerate(spoilt):
        file.write_bytes(broken)
        with pytest.raises(DamagedError, match="damaged"):
            tracer.compare("", info.id, limit=100 + number)
    (tmp_path / "allocations" / f"{info.id}.json").write_text(json.dumps(["no", "description"]))
    again = Tracer(tmp_path, Clock(), RecordedEvents())
    assert again.info(info.id).damaged
    again.delete(SERVICE, info.id)
    assert not list((tmp_path / "allocations").iterdir())


def test_a_snapshot_that_lost_a_file_is_told(tracer: Tracer, tmp_path: Path) -> None:
    """The traces or the description are gone: that is no deletion, whichever it is, and silence would hide it."""
    tracer.start(SERVICE, 2, 5)
    without_traces, without_description = tracer.take_snapshot(SERVICE), tracer.take_snapshot(SERVICE)
    tracer.file(without_traces.id).unlink()
    (tmp_path / "allocations" / f"{without_description.id}.json").unlink()
    again = Tracer(tmp_path, Clock(), RecordedEvents())
    assert sorted(again.damaged_snapshots()) == sorted([without_traces.id, without_description.id])
    assert not list((tmp_path / "allocations").iterdir())
    assert Tracer(tmp_path, Clock(), RecordedEvents()).damaged_snapshots() == []


@pytest.mark.parametrize("name", ["", "..", "../../secret", "0123456789abcdef/../x", "0123456789ABCDEF", "0" * 16])
def test_ids_are_ours(tracer: Tracer, name: str) -> None:
    """A path in place of an id finds nothing and touches nothing."""
    calls: list[Callable[[], object]] = [
        lambda: tracer.info(name),
        lambda: tracer.file(name),
        lambda: tracer.delete(SERVICE, name),
        lambda: tracer.describe(name, name="x"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_a_bounded_number_is_kept(tracer: Tracer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room, by number and by bytes; automatic ones never push out those that a person took."""
    monkeypatch.setattr(snapshot_store, "MOST_SNAPSHOTS", 3)
    monkeypatch.setattr(snapshot_store, "MOST_AUTOMATIC", 2)
    tracer.start(SERVICE, 1, 5)
    taken = [tracer.take_snapshot(SERVICE, f"{number}") for number in range(4)]
    for _ in range(4):
        tracer._capture(automatic=True)
    assert [info.name for info in tracer.snapshots() if not info.automatic] == ["3", "2", "1"]
    assert len(tracer.snapshots()) == 5
    monkeypatch.setattr(snapshot_store, "MOST_BYTES", int(taken[0].size * 2.5))
    tracer.take_snapshot(SERVICE, "last")
    assert len(tracer.snapshots()) == 2
    assert len(list((tmp_path / "allocations").iterdir())) == 4
    with pytest.raises(BadInputError):
        tracer.describe(tracer.snapshots()[0].id, name="x" * 81)
    with pytest.raises(NotFoundError, match="not here"):
        tracer.compare("", taken[0].id)


def test_the_file_has_no_pickle(tracer: Tracer) -> None:
    """The snapshot is arrays alone: opening somebody's snapshot must not be able to run code."""
    import numpy as np

    tracer.start(SERVICE, 3, 5)
    with np.load(tracer.file(tracer.take_snapshot(SERVICE).id), allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "iu" for name in archive.files)
    assert re.fullmatch(r"[0-9a-f]{16}", tracer.snapshots()[0].id)
    assert SnapshotStore(tracer.file(tracer.snapshots()[0].id).parent).snapshots() == tracer.snapshots()


def test_a_list_has_only_snapshots_that_can_be_opened(tracer: Tracer, tmp_path: Path) -> None:
    """One whose file is gone was listed, and answered "no such snapshot" or broke when it was chosen."""
    tracer.start(SERVICE, 1, 5)
    first, second = (tracer.take_snapshot(SERVICE) for _number in range(2))
    (tmp_path / "allocations" / f"{first.id}.npz").unlink()
    with pytest.raises(NotFoundError, match="removed"):
        tracer.compare(first.id, second.id)
    assert [info.id for info in tracer.snapshots()] == [second.id]
    (tmp_path / "allocations" / f"{second.id}.npz").unlink()
    assert SnapshotStore(tmp_path / "allocations").snapshots() == []
