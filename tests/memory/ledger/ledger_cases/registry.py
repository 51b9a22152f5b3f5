"""The ledger cases by group; each module of this package is a group."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator

from services.core.memory_report import MemoryReport, Owner
from services.memory.ledger.ledger import LedgerBuilder

MEGABYTE = 1_000_000
SIZE = 100 * MEGABYTE

# Yields None once prepared, if that takes memory of its own, then owner and bytes of what was allocated.
LedgerCase = Callable[[LedgerBuilder], Iterator[tuple[Owner, int] | None]]
Allocations = Iterator[tuple[Owner, int] | None]
GROUPS = ("allocators", "mappings", "parts", "console")
_CASES: dict[str, list[LedgerCase]] = {}


def ledger_case(group: str) -> Callable[[LedgerCase], LedgerCase]:
    def register(function: LedgerCase) -> LedgerCase:
        _CASES.setdefault(group, []).append(function)
        return function

    return register


def add_report(builder: LedgerBuilder, *reports: MemoryReport) -> None:
    builder.add_memory_reporter(lambda: reports)


def cases_of(group: str) -> list[LedgerCase]:
    """Return the cases of a group; other groups and what they need are not imported."""
    importlib.import_module(f"tests.memory.ledger.ledger_cases.{group}")
    return _CASES[group]


def c_library() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    found.malloc.restype = ctypes.c_void_p
    found.free.argtypes = [ctypes.c_void_p]
    return found
