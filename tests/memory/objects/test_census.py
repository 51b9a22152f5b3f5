from __future__ import annotations

import gc
import sys
import threading
import time

import numpy as np
import pytest

from services.memory.objects.inspector import Inspector
from services.memory.objects.types import Census
from tests.memory.objects import planted
from tests.memory.objects.planted import MANY

HERE = "tests.memory.objects.planted"


@pytest.fixture(scope="module")
def census(leaks: None) -> Census:
    return Inspector().take_census()


@pytest.mark.parametrize("kind", ["InModule", "InClass", "InThread", "InClosure", "InCache", "InLocal", "InCycle"])
def test_every_planted_object_is_counted_once(census: Census, kind: str) -> None:
    """A type whose objects are missed or counted twice would make a leak look smaller or bigger than it is."""
    found = census.types[f"{HERE}.{kind}"]
    assert found.count == MANY
    assert found.bytes == MANY * sys.getsizeof(planted.InModule(1))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("registry", "dict"),
        ("Registry.entries", "list"),
        ("slotted.rows", "list"),
        ("closing.<locals>.inner.<closure>.captured", "list"),
        ("cached.<lru_cache>", "dict"),
        ("per_thread.<thread-local>.rows", "list"),
    ],
)
def test_big_containers_have_the_name_under_which_the_code_knows_them(census: Census, name: str, kind: str) -> None:
    """A container that cannot be named cannot be mended: module, class, slot, closure, cache and thread-local."""
    found = {container.name: container for container in census.containers}
    assert found[f"{HERE}.{name}"].length == MANY
    assert found[f"{HERE}.{name}"].type == kind
    assert found[f"{HERE}.{name}"].held_bytes > MANY * 48


def test_a_container_in_a_running_thread_is_named_by_thread_function_and_variable(census: Census) -> None:
    """What only the frame of another thread holds must not be called native or unreachable."""
    names = {container.name for container in census.containers}
    assert f"<thread planted-worker>.{HERE}._work.mine.rows" in names


def test_frozen_objects_are_seen() -> None:
    """After gc.freeze() the collector's own list is blind; the child must look behind it, this process stays frozen."""
    kept = [planted.InModule(number) for number in range(777)]
    gc.freeze()
    try:
        found = Inspector().take_census().types[f"{HERE}.InModule"]
        assert gc.get_freeze_count() > len(kept)
    finally:
        gc.unfreeze()
    assert found.count >= len(kept)


def test_untracked_objects_and_native_data_are_counted_apart() -> None:
    """Strings, bytes and arrays are what memory is made of, though the collector knows none of them."""
    before = Inspector().take_census()
    text, data, array = "x" * 3_000_000, bytes(5_000_000), np.ones(1_000_000)
    view = array[10:]
    after = Inspector().take_census()
    assert view.base is array
    # Somewhat less than that: others may have let go of some meanwhile.
    assert after.types["str"].bytes - before.types["str"].bytes >= 0.95 * len(text)
    assert after.types["bytes"].bytes - before.types["bytes"].bytes >= 0.95 * len(data)
    assert after.large_bytes - before.large_bytes == pytest.approx(8_000_000, rel=0.05)
    assert after.native_bytes - before.native_bytes == array.nbytes
    assert after.types["numpy.ndarray"].native - before.types.get("numpy.ndarray", after.types["str"]).native == (
        array.nbytes
    )


def test_other_threads_run_on_during_a_census() -> None:
    """A look that stops the process would stall every request; generous, as the machine may be busy."""
    stop, longest = threading.Event(), [0.0]

    def tick() -> None:
        last = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            longest[0] = max(longest[0], now - last)
            last = now
            stop.wait(0.001)

    ticking = threading.Thread(target=tick)
    ticking.start()
    census = Inspector().take_census()
    stop.set()
    ticking.join()
    assert longest[0] < max(0.5, census.took / 2)
    assert census.paused < 0.5
