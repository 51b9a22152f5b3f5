"""Memory reports of third-party libraries in this process. Nothing is imported that is not loaded already."""

from __future__ import annotations

import ctypes
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache

from services.core.i18n import _
from services.core.memory_report import MemoryReport, Owner, Region
from services.memory.ledger.smaps import MemoryMapping

# A trace of tracemalloc is a table entry of 32 bytes, which tracemalloc counts, and a record of 16 bytes, which it does
# not; with malloc's overhead 48 and 32 (Python/hashtable.c, Python/tracemalloc.c).
_ENTRY = 32
_WITH_OVERHEAD = 80
_BUCKET = 8


def library_reports(mappings: Iterable[MemoryMapping]) -> Iterator[MemoryReport]:
    """Yield what SQLite, tracemalloc, Arrow and pinned CUDA memory hold."""
    if (size := sqlite_bytes(mappings)) is not None:
        yield MemoryReport(_("SQLite's caches"), "", size, 1, owner=Owner.DATABASE, region=Region.NATIVE)
    if size := tracing_bytes():
        yield MemoryReport(_("Allocation traces"), "", size, 1, owner=Owner.WATCHING, region=Region.NATIVE)
    if size := arrow_bytes():
        yield MemoryReport(_("Arrow's tables"), "", size, 1, owner=Owner.NATIVE, region=Region.MAPPED)
    if size := pinned_bytes():
        yield MemoryReport(_("Pinned memory for the GPU"), "", size, 1, owner=Owner.GPU_HOST, region=Region.MAPPED)


def sqlite_bytes(mappings: Iterable[MemoryMapping]) -> int | None:
    """Return the bytes that SQLite has allocated (sqlite3_memory_used), None where its library is not accessible."""
    if "_sqlite3" not in sys.modules:
        return None
    paths = {mapping.path for mapping in mappings if "libsqlite3" in mapping.path}
    module: str | None = getattr(sys.modules["_sqlite3"], "__file__", None)
    # Without a shared library SQLite is linked into Python's module, or into Python.
    sizes = [used() for path in (sorted(paths) or (module,)) if (used := _sqlite_memory_used(path)) is not None]
    return sum(sizes) if sizes else None


@cache
def _sqlite_memory_used(library: str | None) -> Callable[[], int] | None:
    try:
        used = ctypes.CDLL(library).sqlite3_memory_used
    except (OSError, AttributeError, TypeError):
        return None
    used.restype = ctypes.c_int64
    return used


def tracing_bytes() -> int:
    """Return the bytes of tracemalloc's traces, 0 when it is off.

    tracemalloc reports the size of its tables alone. The number of traces follows from it, as tables have a power of
    two of buckets, between a quarter and half of them full.
    """
    if not tracemalloc.is_tracing():
        return 0
    reported = tracemalloc.get_tracemalloc_memory()
    buckets = 1 << max(0, (reported // (_BUCKET + _ENTRY // 2)).bit_length() - 1)
    while reported > buckets * (_BUCKET + _ENTRY // 2):
        buckets *= 2
    traces = max(0, reported - buckets * _BUCKET) // _ENTRY
    return buckets * _BUCKET + traces * _WITH_OVERHEAD


def arrow_bytes() -> int:
    """Return the bytes in Arrow's memory pool, which has an allocator of its own."""
    module = sys.modules.get("pyarrow")
    with suppress(AttributeError):
        return int(module.default_memory_pool().bytes_allocated()) if module is not None else 0
    return 0


def pinned_bytes() -> int:
    """Return the bytes of pinned host memory that torch holds, 0 where CUDA is not in use."""
    if not cuda_in_use():
        return 0
    with suppress(AttributeError, RuntimeError):
        return int(sys.modules["torch"].cuda.host_memory_stats().get("allocated_bytes.current", 0))
    return 0


def cuda_in_use() -> bool:
    """Whether torch has started CUDA in this process."""
    torch = sys.modules.get("torch")
    with suppress(AttributeError):
        return torch is not None and bool(torch.cuda.is_initialized())
    return False


class DriverMemory:
    """The host memory of the GPU's driver, which has no figures: what unnamed memory grew by when it started."""

    def __init__(self) -> None:
        self._before = 0
        self._driver: int | None = None

    def driver_bytes(self, unnamed: int) -> int:
        """Return how many of `unnamed` bytes belong to the driver."""
        if not cuda_in_use():
            self._before, self._driver = unnamed, None
            return 0
        if self._driver is None:
            self._driver = max(0, unnamed - self._before)
        return min(self._driver, unnamed)
