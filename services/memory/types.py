"""Samples of the process and windows of the history: the sampler writes them, everything else reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.core.memory_report import Owner

Floats = NDArray[np.float64]


class Series(StrEnum):
    """The columns of a sample; bytes unless the comment says otherwise. NaN where the value is not available."""

    RSS = "rss"
    USS = "uss"  # expensive: read with the ledger
    PSS = "pss"  # expensive
    SWAP = "swap"  # expensive
    HEAP_USED = "heap_used"  # malloc in use, mapped blocks included
    HEAP_MAPPED = "heap_mapped"  # of these, in mappings of their own
    PYTHON_BLOCKS = "python_blocks"  # count of pymalloc blocks
    PYTHON_USED = "python_used"  # pymalloc bytes in blocks; expensive
    LIVE = "live"  # bytes in use: heap in use plus Python's blocks (the detector's main series)
    THREADS = "threads"  # count
    DESCRIPTORS = "descriptors"  # count
    CPU = "cpu"  # of the process, 1.0 = one core
    SAMPLER_CPU = "sampler_cpu"  # of the sampler and watcher threads, 1.0 = one core
    GC_COUNT_0 = "gc_count_0"  # count of allocations since the last collection of that generation
    GC_COUNT_1 = "gc_count_1"
    GC_COUNT_2 = "gc_count_2"
    GC_RUNS_0 = "gc_runs_0"  # collections since the start
    GC_RUNS_1 = "gc_runs_1"
    GC_RUNS_2 = "gc_runs_2"
    GC_PAUSE = "gc_pause"  # seconds in collections since the start
    GC_UNCOLLECTABLE = "gc_uncollectable"  # objects since the start
    GPU_ALLOCATED = "gpu_allocated"  # by torch
    GPU_RESERVED = "gpu_reserved"
    GPU_PEAK = "gpu_peak"
    GPU_USED = "gpu_used"  # of the device, by all processes
    GPU_TOTAL = "gpu_total"
    GPU_BUSY = "gpu_busy"  # share of time, 0 to 1
    PRESSURE = "pressure"  # share of time in which some task waited for memory, 0 to 1, over 10 s
    GROUP_USED = "group_used"  # of the cgroup
    GROUP_LIMIT = "group_limit"
    AVAILABLE = "available"  # of the machine
    LIMIT = "limit"  # the limit of RSS: configured, the cgroup's, or the machine's RAM
    TRACED = "traced"  # by tracemalloc, 0 when off
    REQUESTS = "requests"  # served since the start
    SESSIONS = "sessions"  # browser tabs


OWNERS: tuple[Owner, ...] = tuple(Owner)
# Columns of a sample: every series, then the bytes of every owner in the latest ledger.
COLUMNS: tuple[str, ...] = (*Series, *(f"owner.{owner}" for owner in OWNERS))


def owner_column(owner: Owner) -> str:
    """Return the column with an owner's bytes."""
    return f"owner.{owner}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of the process. `values` by column name; a missing column is not known."""

    time: float
    values: Mapping[str, float]

    def get(self, column: str) -> float | None:
        """Return a value, None when it is not known."""
        value = self.values.get(column)
        return None if value is None or math.isnan(value) else value


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the history: `times` (n,) in seconds since the epoch, by column (n,) means, minima and maxima.

    `step_seconds` is the time between points. Minima and maxima equal the means where a point is a single sample.
    A restart lies between points i and i+1 when `runs[i] != runs[i+1]`; nothing is known for the time in between.
    """

    times: Floats
    step_seconds: float
    means: Mapping[str, Floats]
    minima: Mapping[str, Floats]
    maxima: Mapping[str, Floats]
    runs: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)
