"""Objects that are held in the ways in which real programs hold too much."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MANY = 1500


class Kept:
    """One planted object."""

    def __init__(self, number: int) -> None:
        self.number = number


class InModule(Kept):
    pass


class InClass(Kept):
    pass


class InThread(Kept):
    pass


class InClosure(Kept):
    pass


class InCache(Kept):
    pass


class InLocal(Kept):
    pass


class InCycle(Kept):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.me = self


class Slotted:
    __slots__ = ("__weakref__", "rows")

    def __init__(self) -> None:
        self.rows: list[object] = []


class Registry:
    entries: list[object] = []  # noqa: RUF012 - the defect that is planted

    def __init__(self) -> None:
        self.rows: dict[str, object] = {}


registry: dict[int, object] = {}
slotted = Slotted()
per_thread = threading.local()


@functools.cache
def cached(number: int) -> InCache:
    return InCache(number)


def closing() -> Callable[[], int]:
    captured = [InClosure(number) for number in range(MANY)]

    def inner() -> int:
        return len(captured)

    return inner


closure = closing()


class Worker:
    """A thread whose only hold on its objects is an attribute of an object in its frame."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=_work, args=(self.ready, self.stop), name="planted-worker")


def _work(ready: threading.Event, stop: threading.Event) -> None:
    mine = Registry()
    for number in range(MANY):
        mine.rows[str(number)] = InThread(number)
    ready.set()
    stop.wait()


@contextmanager
def planted() -> Iterator[None]:
    """Plant everything, and take it away again."""
    for number in range(MANY):
        registry[number] = InModule(number)
        cached(number)
        slotted.rows.append(InCycle(number))
    Registry.entries.extend(InClass(number) for number in range(MANY))
    per_thread.rows = [InLocal(number) for number in range(MANY)]
    worker = Worker()
    worker.thread.start()
    assert worker.ready.wait(30)
    try:
        yield
    finally:
        worker.stop.set()
        worker.thread.join()
        registry.clear()
        cached.cache_clear()
        Registry.entries.clear()
        slotted.rows.clear()
        del per_thread.rows
