from __future__ import annotations

import gc
import weakref

import pytest

from services.core.errors import NotFoundError
from services.core.memory_report import Owner
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import PathRoot, RetentionPaths
from tests.memory.objects import planted
from tests.memory.objects.planted import MANY

HERE = "tests.memory.objects.planted"


def find(inspector: Inspector, kind: str) -> RetentionPaths:
    found = inspector.instances(f"{HERE}.{kind}", limit=1)
    assert found.total == MANY
    return inspector.retention_paths(found.objects[0].address, f"{HERE}.{kind}")


@pytest.mark.parametrize(
    ("kind", "root", "name"),
    [
        ("InModule", PathRoot.MODULE, f"{HERE}.registry["),
        ("InThread", PathRoot.THREAD, f"<thread planted-worker>.{HERE}._work.mine.rows["),
        ("InClosure", PathRoot.MODULE, f"{HERE}.closing.<locals>.inner.<closure>.captured["),
        ("InCache", PathRoot.MODULE, f"{HERE}.cached.<lru_cache>"),
        ("InClass", PathRoot.MODULE, f"{HERE}.Registry.entries["),
    ],
)
def test_the_path_leads_from_a_root_to_the_object(
    leaks: None, inspector: Inspector, kind: str, root: PathRoot, name: str
) -> None:
    """Module dictionary, frame of a running thread, closure, cache and class: each holder must be found by name."""
    found = find(inspector, kind)
    assert found.root is root
    assert found.found.name.startswith(name)
    assert found.path[-1].address == found.found.address
    assert found.referrers >= 1
    addresses = {node.address for node in found.nodes}
    assert all({link.source, link.target} <= addresses for link in found.links)
    assert found.found.address in addresses
    assert found.found.owner is Owner.PYTHON


def test_an_object_in_a_cycle_that_nobody_holds_is_distinguished(inspector: Inspector) -> None:
    """Garbage that waits for the collector must not be shown as held by something."""
    gc.disable()
    try:
        lost = planted.InCycle(-1)
        address, gone = id(lost), weakref.ref(lost)
        del lost
        assert gone() is not None
        found = inspector.retention_paths(address, f"{HERE}.InCycle")
    finally:
        gc.enable()
    assert found.root is PathRoot.CYCLE
    assert found.found.name.startswith("<cycle>")


def test_inspecting_keeps_nothing_alive(inspector: Inspector) -> None:
    """An inspector that keeps what it inspects alive would be the leak itself."""
    kept = [planted.InModule(number) for number in range(5)]
    gone = [weakref.ref(value) for value in kept]
    found = inspector.instances(f"{HERE}.InModule", limit=5)
    inspector.retention_paths(id(kept[0]), f"{HERE}.InModule")
    inspector.take_snapshot()
    assert {id(value) for value in kept} <= {entry.address for entry in found.objects}
    kept.clear()
    assert [reference() for reference in gone] == [None] * 5


def test_inspecting_leaves_no_frames_for_the_collector(inspector: Inspector) -> None:
    """A frame in a cycle holds every variable of its callers until the next full collection, however big they are."""

    def work() -> weakref.ref[object]:
        kept = planted.InModule(1)
        inspector.take_snapshot()
        inspector.instances(f"{HERE}.InModule", limit=1)
        return weakref.ref(kept)

    gc.disable()
    try:
        assert work()() is None
    finally:
        gc.enable()


def test_an_object_that_is_gone_is_said_to_be_gone(inspector: Inspector) -> None:
    """An address may belong to something else by now; showing that one would mislead."""
    kept = planted.InModule(1)
    address = id(kept)
    with pytest.raises(NotFoundError):
        inspector.retention_paths(address, f"{HERE}.InClass")
    del kept
    with pytest.raises(NotFoundError):
        inspector.retention_paths(address, f"{HERE}.InModule")
    with pytest.raises(NotFoundError):
        inspector.retention_paths(2**62, f"{HERE}.InModule")


def test_only_what_is_new_since_a_baseline_is_shown_and_ages_count_snapshots(inspector: Inspector) -> None:
    """Old objects among the new ones would hide which ones the last minutes left behind."""
    old = [planted.InModule(number) for number in range(3)]
    first = inspector.take_snapshot("before", kept=True)
    new = [planted.InModule(number) for number in range(2)]
    inspector.take_snapshot()
    fresh = inspector.instances(f"{HERE}.InModule", since=first.name)
    assert {entry.address for entry in fresh.objects} == {id(value) for value in new}
    ages = {entry.address: entry.age for entry in inspector.instances(f"{HERE}.InModule").objects}
    assert {ages[id(value)] for value in old} == {2}
    assert {ages[id(value)] for value in new} == {1}
