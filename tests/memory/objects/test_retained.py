"""The retained size of planted objects, of which every part is known."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from services.memory.objects import retained
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import RetainedSize

ROWS = 200


class Owner:
    __slots__ = ("__weakref__", "parts")

    def __init__(self) -> None:
        self.parts: list[object] = []


class Shared:
    """What two hold: it and all that it refers to outlives either."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = [bytes(2000 + number) for number in range(50)]


# What the planted graph hangs on; the frames of the tests must not refer to parts of it.
held: dict[str, object] = {}
also: list[object] = []


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    held.clear()
    also.clear()


def plant() -> int:
    """Hang up an owner with rows, a cycle, a closure and a shared part; return the bytes that it alone keeps alive."""
    owner, rows = Owner(), [bytes(100 + number) for number in range(ROWS)]
    back: list[object] = [owner]  # refers to its owner: that keeps nobody else alive
    captured = [bytes(5000)]

    def closure() -> list[bytes]:
        return captured

    shared = Shared()
    # A constant belongs to the code that has it, a small number to the interpreter.
    owner.parts += [rows, back, closure, shared, shared.rows[0], "a constant of this code", 7]
    held["owner"] = owner
    also.append(shared)
    cells = closure.__closure__ or ()
    alone = [owner, owner.parts, rows, *rows, back, closure, cells, *cells, captured, *captured]
    return sum(map(sys.getsizeof, alone))


def measure(inspector: Inspector, kind: str = f"{__name__}.Owner") -> tuple[RetainedSize, int]:
    """Return the retained size of the only object of a type, and its own size."""
    (entry,) = inspector.instances(kind, limit=1).objects
    found = inspector.retention_paths(entry.address, kind, entry.evidence)
    return found.retained, found.found.bytes


def test_what_an_object_alone_keeps_alive_is_counted_to_the_byte(inspector: Inspector) -> None:
    """A part that something else holds, too, would not be freed; a cycle within and a closure's variables would."""
    expected = plant()
    found, own = measure(inspector)
    assert found.complete
    assert found.bytes == expected
    assert own == sys.getsizeof(held["owner"])

    also.clear()  # now nobody else holds the shared part
    shared = Shared()
    more = sum(map(sys.getsizeof, (shared, shared.rows, *shared.rows)))
    del shared
    found, _own = measure(inspector)
    assert found.bytes == expected + more
    # The owner and its list; rows; the list that refers back; function, tuple, cell; what it captured; the shared part.
    assert found.objects == 2 + (1 + ROWS) + 1 + 3 + 2 + (2 + 50)


def test_what_a_running_thread_uses_is_not_counted(inspector: Inspector) -> None:
    """A local variable is no reference that the collector reports; what it holds would live on."""
    ready, stop = threading.Event(), threading.Event()

    def work(take: Callable[[], object]) -> None:
        used = take()
        ready.set()
        stop.wait()
        del used

    held["owner"] = owner = Owner()
    owner.parts += [bytes(70_000), bytes(3_000)]
    thread = threading.Thread(target=work, args=(lambda: owner.parts[0],))
    thread.start()
    assert ready.wait(30)
    try:
        found, _own = measure(inspector)
    finally:
        stop.set()
        thread.join()
    assert found.bytes == sys.getsizeof(owner) + sys.getsizeof(owner.parts) + sys.getsizeof(owner.parts[1])


def test_where_there_is_too_much_it_is_a_lower_bound_that_says_so(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a graph must not be told as the whole, and nothing be counted that something unseen may hold."""
    expected = plant()
    monkeypatch.setattr(retained, "MOST_FOLLOWED", ROWS // 2)
    found, own = measure(inspector)
    assert not found.complete
    assert found.most_objects == ROWS // 2
    assert own <= found.bytes < expected
    monkeypatch.setattr(retained, "MOST_FOLLOWED", 100_000)
    monkeypatch.setattr(retained, "MOST_SECONDS", -1.0)
    found, own = measure(inspector)
    assert (found.complete, found.bytes, found.objects) == (False, own, 1)


def test_a_class_takes_its_methods_along_and_no_module(inspector: Inspector) -> None:
    """Every function refers to its module: without a border a single one would retain half of the process."""
    held["owner"] = type("Planted", (Owner,), {"__slots__": (), "method": lambda self: self})()
    kind = f"{__name__}.Planted"
    found, own = measure(inspector, kind)
    assert found.complete
    assert own < found.bytes < 20_000
