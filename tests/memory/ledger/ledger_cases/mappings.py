"""Mappings of each kind."""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from services.core.memory_report import MemoryReport, Owner, Region
from services.memory.ledger.allocators import thread_stack
from services.memory.ledger.ledger import LedgerBuilder
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, SIZE, Allocations, add_report, ledger_case


@ledger_case("mappings")
def memory_that_was_never_touched(_builder: LedgerBuilder) -> Allocations:
    keep = np.empty(SIZE, np.uint8)
    read = np.zeros(SIZE, np.uint8)
    int(read.sum())
    yield Owner.NATIVE, 0
    del keep, read


@ledger_case("mappings")
def unclaimed_anonymous_memory(_builder: LedgerBuilder) -> Allocations:
    untouched = np.empty(SIZE, np.uint8)
    with mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.write(b"x" * SIZE)
        yield Owner.UNNAMED, SIZE
    del untouched


@ledger_case("mappings")
def touched_stacks(_builder: LedgerBuilder) -> Allocations:
    done, ready = threading.Event(), threading.Barrier(5)
    before = threading.stack_size(64 << 20)

    def touch() -> None:
        stack = thread_stack(threading.get_ident())
        assert stack is not None
        ctypes.memset(stack[0] + (1 << 20), 1, SIZE // 4)
        ready.wait()
        done.wait()

    threads = [threading.Thread(target=touch) for _ in range(4)]
    for thread in threads:
        thread.start()
    threading.stack_size(before)
    ready.wait()
    yield Owner.STACKS, SIZE
    done.set()
    for thread in threads:
        thread.join()


@ledger_case("mappings")
def generated_code(_builder: LedgerBuilder) -> Allocations:
    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    with mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access) as area:
        area.write(b"\xc3" * SIZE)
        yield Owner.KERNELS, SIZE


@ledger_case("mappings")
def memory_file(_builder: LedgerBuilder) -> Allocations:
    descriptor = os.memfd_create("plant")
    os.truncate(descriptor, SIZE)
    with mmap.mmap(descriptor, SIZE) as area:
        os.close(descriptor)
        area.write(b"x" * SIZE)
        yield Owner.FILES, SIZE


@ledger_case("mappings")
def mapped_file(_builder: LedgerBuilder) -> Allocations:
    with _mapped("plant.bin") as data:
        int(data.sum())
        yield Owner.FILES, SIZE


@ledger_case("mappings")
def mapped_model_by_address(builder: LedgerBuilder) -> Allocations:
    with _mapped("model.safetensors") as data:
        int(data.sum())
        part = (data.ctypes.data + 8, SIZE - 8)
        add_report(builder, MemoryReport("m", "", SIZE, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=(part,)))
        yield Owner.MODELS, SIZE


@ledger_case("mappings")
def mapped_model_by_name(builder: LedgerBuilder) -> Allocations:
    with _mapped("model.gguf") as data:
        int(data.sum())
        files = ((str(data.filename), SIZE),)
        add_report(builder, MemoryReport("g", "", SIZE, 1, owner=Owner.MODELS, region=Region.NATIVE, files=files))
        yield Owner.MODELS, SIZE


@ledger_case("mappings")
def library(_builder: LedgerBuilder) -> Allocations:
    with _mapped("libplant.so.1") as data:
        int(data.sum())
        yield Owner.LIBRARIES, SIZE


@ledger_case("mappings")
def relocated_library(_builder: LedgerBuilder) -> Allocations:
    with _mapped("libmoved.so", "c") as data:
        data[:] = 1
        yield Owner.RELOCATIONS, SIZE


@ledger_case("mappings")
def database_file(_builder: LedgerBuilder) -> Allocations:
    with _mapped("plant.db-shm") as data:
        int(data.sum())
        yield Owner.DATABASE, SIZE


@contextmanager
def _mapped(name: str, mode: str = "r") -> Iterator[np.memmap]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / name
        path.write_bytes(os.urandom(MEGABYTE) * 100)
        yield np.memmap(path, mode=mode, dtype=np.uint8)
