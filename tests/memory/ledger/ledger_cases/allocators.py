"""Memory of Python and of malloc."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from services.core.memory_report import Owner, object_bytes
from services.memory.clock import Clock
from services.memory.ledger.ledger import LedgerBuilder
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, SIZE, Allocations, c_library, ledger_case


@ledger_case("allocators")
def small_python_objects(_builder: LedgerBuilder) -> Allocations:
    keep = [os.urandom(200) for _ in range(SIZE // 240)]
    yield Owner.PYTHON, sum(-(-sys.getsizeof(each) // 16) * 16 for each in keep)


@ledger_case("allocators")
def large_python_objects(builder: LedgerBuilder) -> Allocations:
    from services.memory.objects.inspector import Inspector

    inspector = Inspector(Clock())
    builder.set_census_source(lambda: inspector.last)
    inspector.take_census()
    yield None
    keep = [bytes([number]) * MEGABYTE for number in range(100)]
    inspector.take_census()
    yield Owner.PYTHON, object_bytes(keep)[0]


@ledger_case("allocators")
def freed_python_objects(_builder: LedgerBuilder) -> Allocations:
    keep = [os.urandom(200) for _ in range(SIZE // 240)]
    # An arena goes back to the system when nothing in it lives.
    pins = keep[::500]
    keep.clear()
    yield Owner.PYTHON_FREE, SIZE - 240 * len(pins)


@ledger_case("allocators")
def one_native_block(_builder: LedgerBuilder) -> Allocations:
    keep = np.ones(SIZE, np.uint8)
    yield Owner.NATIVE, keep.nbytes


@ledger_case("allocators")
def many_native_blocks(_builder: LedgerBuilder) -> Allocations:
    with _blocks(SIZE // 2000, 1984):
        yield Owner.NATIVE, SIZE


@ledger_case("allocators")
def freed_native_blocks(_builder: LedgerBuilder) -> Allocations:
    libc = c_library()
    with _blocks(SIZE // 2000, 1984):
        # At the top of the heap: what lies below cannot go back to the system.
        pin = libc.malloc(1984)
    yield Owner.NATIVE_FREE, SIZE
    libc.free(pin)


@contextmanager
def _blocks(count: int, size: int) -> Iterator[None]:
    libc = c_library()
    pointers = np.empty(count, np.uint64)
    for number in range(count):
        pointers[number] = pointer = libc.malloc(size)
        ctypes.memset(pointer, 1, size)
    try:
        yield
    finally:
        for pointer in pointers:
            libc.free(int(pointer))
