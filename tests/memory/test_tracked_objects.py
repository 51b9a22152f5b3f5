from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from services.memory.objects.identity import SeenObjects
from services.memory.objects.threads import _ThreadLocalScan
from services.memory.tracked_objects import count_tracked, find_tracked

ROUNDS = 40


class Listed:
    """An object to be found."""


def scan() -> None:
    _ThreadLocalScan().scan()


def refer() -> None:
    value = Listed()
    kind = f"{Listed.__module__}.{Listed.__qualname__}"
    assert SeenObjects().refer({id(value): kind})


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("look", [count_tracked, scan, refer], ids=["count", "thread-locals", "references"])
def test_looking_at_all_objects_hurts_no_thread(look: Callable[[], object]) -> None:
    """Fails if a list of all objects outlives one call into C: whoever builds a tuple meanwhile gets a SystemError."""
    stop, wrong, built = threading.Event(), list[SystemError](), [0]

    def build() -> None:
        while not stop.is_set():
            try:
                built[0] += len(tuple(number for number in range(50))) == 50
            except SystemError as error:
                wrong.append(error)

    threads = [threading.Thread(target=build) for _number in range(3)]
    for thread in threads:
        thread.start()
    for _round in range(ROUNDS):
        look()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert built[0] > ROUNDS


def test_objects_are_found_by_address_and_no_others() -> None:
    """Fails if the two lists that are compared are not in step, or the collector stays switched off."""
    old, new = Listed(), Listed()
    del old.__dict__
    gc.collect()
    late = Listed()
    wanted = {id(value): value for value in (old, new, late)}
    assert gc.isenabled()
    found = find_tracked([*wanted, 4096])
    assert gc.isenabled()
    assert {id(value): value for value in found} == wanted


def test_the_count_is_that_of_the_collector() -> None:
    """Fails if a generation is left out or counted twice."""
    gc.collect()
    assert count_tracked() == pytest.approx(len(gc.get_objects()), rel=0.01)
