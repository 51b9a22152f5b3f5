"""Metrics that other tools know by name, as far as the snapshot of memory has them: they tell the same as our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.memory.monitor import MemoryMonitor
from services.memory.sampling.gc_pauses import PauseTotals
from services.memory.types import Series


class ShownPauses:
    """The garbage collector's pauses in the snapshot; a `services.operations.metrics.PauseHistogram`."""

    def __init__(self, memory: MemoryMonitor) -> None:
        self._memory = memory

    @property
    def bounds(self) -> Sequence[float]:
        """Upper bounds of the buckets in seconds."""
        return self._memory.pauses.bounds

    def pauses(self) -> PauseTotals:
        """Return by generation the counts per bucket and the sum of all pauses in seconds, both since the start."""
        return self._memory.pause_totals()


def sampled_values(memory: MemoryMonitor) -> Mapping[tuple[str, str], float]:
    """Return the values of standard metrics that the snapshot has, by name and generation ("": no such label)."""
    shown = memory.snapshot()
    if shown is None:
        return {}
    values = {("process_resident_memory_bytes", ""): float(shown.rss)}
    if (descriptors := shown.sample.get(Series.DESCRIPTORS)) is not None:
        values["process_open_fds", ""] = descriptors
    for generation, count in enumerate(shown.collector.collections):
        values["python_gc_collections_total", str(generation)] = float(count)
    return values
