"""Plain readings of a process, to prove what a scenario leaves behind without the detector's help."""

from __future__ import annotations

import gc
import sys
from dataclasses import asdict, dataclass, fields

import psutil


@dataclass(frozen=True)
class Reading:
    """The process at one moment: bytes of RSS and of malloc in use, counts of the rest."""

    rss: float
    heap: float
    blocks: float
    threads: float
    descriptors: float

    def per_step(self, earlier: Reading, steps: int) -> dict[str, float]:
        """Return the growth since `earlier`, divided by the steps in between."""
        return {name: (value - getattr(earlier, name)) / steps for name, value in asdict(self).items()}


def read() -> Reading:
    """Run a full collection, then read."""
    if gc.isenabled():
        gc.collect()
    psutil.heap_trim()
    process = psutil.Process()
    heap = psutil.heap_info()
    return Reading(
        float(process.memory_info().rss),
        float(heap.heap_used + heap.mmap_used),
        float(sys.getallocatedblocks()),
        float(process.num_threads()),
        float(process.num_fds()),
    )


NAMES = tuple(field.name for field in fields(Reading))
