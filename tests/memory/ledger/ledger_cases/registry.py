"""The plants by group; each module of this package is a group."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator

from services.core.memory_report import MemoryReport, Owner
from services.memory.ledger.ledger import LedgerBuilder

MEGABYTE = 1_000_000
SIZE = 100 * MEGABYTE

# Yields None when it is prepared, if that takes memory of its own, then what was planted.
Plant = Callable[[LedgerBuilder], Iterator[tuple[Owner, int] | None]]
Planted = Iterator[tuple[Owner, int] | None]
GROUPS = ("allocators", "mappings", "parts", "console")
_PLANTS: dict[str, list[Plant]] = {}


def plant(group: str) -> Callable[[Plant], Plant]:
    def register(function: Plant) -> Plant:
        _PLANTS.setdefault(group, []).append(function)
        return function

    return register


def hold(accountant: LedgerBuilder, *held: MemoryReport) -> None:
    accountant.add_memory_reporter(lambda: held)


def plants_of(group: str) -> list[Plant]:
    """Return the plants of a group; what other groups need is not imported."""
    importlib.import_module(f"tests.memory.ledger.ledger_cases.{group}")
    return _PLANTS[group]


def c_library() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    found.malloc.restype = ctypes.c_void_p
    found.free.argtypes = [ctypes.c_void_p]
    return found
