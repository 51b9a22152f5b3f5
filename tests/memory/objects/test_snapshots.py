from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.core.errors import BadInputError, DamagedError, NotFoundError
from services.memory.objects import snapshots
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import Amount
from tests.memory.objects import planted

KIND = "tests.memory.objects.planted.InModule"


def test_two_snapshots_tell_survived_new_and_gone(inspector: Inspector) -> None:
    """A difference of counts alone hides that all objects were exchanged."""
    kept = [planted.InModule(number) for number in range(10)]
    first = inspector.take_snapshot()
    extra = [planted.InModule(number) for number in range(7)]
    del kept[:4]
    second = inspector.take_snapshot()
    change = {change.type: change for change in inspector.compare(first.name, second.name)}[KIND]
    assert (change.before.count, change.after.count, change.delta.count) == (10, 13, 3)
    assert change.survived is not None
    assert change.new is not None
    assert change.gone is not None
    assert (change.survived.count, change.new.count, change.gone.count) == (6, 7, 4)
    assert change.new.bytes == change.new.count * change.after.bytes // change.after.count
    assert extra


def test_snapshots_of_another_run_compare_by_amount_only(inspector: Inspector, tmp_path: Path) -> None:
    """After a restart addresses mean nothing: "survived" would be an invention."""
    first = inspector.take_snapshot()
    later = Inspector(folder=tmp_path / "objects")
    later.run += 1
    kept = [planted.InModule(number) for number in range(10)]
    second = later.take_snapshot()
    change = {change.type: change for change in later.compare(first.name, second.name)}[KIND]
    assert change.delta == Amount(10, change.after.bytes)
    assert change.survived is None
    assert kept


def test_old_snapshots_make_room_and_baselines_stay(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is used all day must not fill the disk, nor throw away what it is compared with."""
    monkeypatch.setattr(snapshots, "MOST_SNAPSHOTS", 3)
    baseline = inspector.take_snapshot("baseline", kept=True)
    taken = [inspector.take_snapshot() for _ in range(4)]
    names = [snapshot.name for snapshot in inspector.snapshots()]
    assert names == [baseline.name, taken[-2].name, taken[-1].name]
    inspector.delete(baseline.name)
    assert baseline.name not in [snapshot.name for snapshot in inspector.snapshots()]
    assert len(list((tmp_path / "objects").iterdir())) == 2 * 3


def test_a_damaged_snapshot_is_said_to_be_damaged(inspector: Inspector, tmp_path: Path) -> None:
    """A half-written or foreign file must end in a message, never in an unpickled object or a traceback."""
    first, second = inspector.take_snapshot(), inspector.take_snapshot()
    path = tmp_path / "objects" / f"{first.name}.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedError):
        inspector.compare(first.name, second.name)
    (tmp_path / "objects" / f"{second.name}.census").write_text(json.dumps({"types": 3}))
    with pytest.raises(DamagedError):
        inspector.snapshot(second.name)


@pytest.mark.parametrize("name", ["", "../secret", "20260101-000000-000", "x" * 500])
def test_only_names_of_snapshots_reach_the_disk(inspector: Inspector, name: str) -> None:
    """A name comes from the address bar: it must not lead out of the folder."""
    with pytest.raises(NotFoundError):
        inspector.snapshot(name)
    with pytest.raises(NotFoundError):
        inspector.delete(name)


def test_without_a_folder_counting_still_works() -> None:
    """The leak detector counts without storing anything."""
    inspector = Inspector()
    assert inspector.take_census().objects > 1000
    assert inspector.snapshots() == []
    with pytest.raises(BadInputError):
        inspector.take_snapshot()
