"""What the allocators have handed out: malloc's and Python's."""

from __future__ import annotations

import _tracemalloc
import sys
from collections.abc import Mapping

import psutil

from services.memory.types import Series

# Mean bytes of a block where no ledger measures it (CPython 3.11 with torch and Streamlit: 80 to 95).
_BLOCK_BYTES = 90.0
# Samples without `live` at the start, so that the first reading of the ledger makes no step in it.
_PATIENCE = 10


class HeapSource:
    """Reads the allocators. `live` joins the two figures that are cheap into the bytes that are in use.

    Python's allocator tells its blocks at once, their bytes only at a price: the ledger reads these now and then.
    Between two readings `live` moves by the blocks that came and went, at the mean size of a block. So a new reading
    corrects the error of half a minute and does not shift the curve.
    """

    def __init__(self) -> None:
        self._heap_info = getattr(psutil, "heap_info", None)
        self._read: float | None = None  # bytes of Python's blocks in the last reading
        self._blocks = 0.0  # blocks at that time
        self._size = _BLOCK_BYTES
        self._waited = 0

    def __call__(self) -> Mapping[str, float]:
        """Return malloc in use, Python's blocks, and what tracemalloc has traced."""
        traced = float(_tracemalloc.get_traced_memory()[0])
        values: dict[str, float] = {Series.PYTHON_BLOCKS: float(sys.getallocatedblocks()), Series.TRACED: traced}
        if self._heap_info is not None:
            info = self._heap_info()
            values[Series.HEAP_USED] = float(info.heap_used + info.mmap_used)
            values[Series.HEAP_MAPPED] = float(info.mmap_used)
        return values

    def live(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Return the bytes in use by what the other sources have put into `values`; nothing without heap figures."""
        heap, blocks = values.get(Series.HEAP_USED), values.get(Series.PYTHON_BLOCKS)
        if heap is None or blocks is None:
            return {}
        read = values.get(Series.PYTHON_USED)
        if read is not None and read != self._read and blocks:
            self._read, self._blocks, self._size = read, blocks, read / blocks
        if self._read is None:
            self._waited += 1
            return {Series.LIVE: heap + blocks * self._size} if self._waited > _PATIENCE else {}
        return {Series.LIVE: heap + self._read + (blocks - self._blocks) * self._size}
