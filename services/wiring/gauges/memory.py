"""What the memory room knows: the newest sample, the last ledger, the verdict, tracing."""

from __future__ import annotations

import math
from collections.abc import Iterator

from services.held import Owner
from services.memory.leaks.types import LeakKind, State
from services.memory.monitor import MemoryMonitor
from services.memory.types import Series
from services.operations.metrics import Family, Reading

_HOUR = 3600.0
# What a verdict of these kinds counts is not bytes.
_COUNTED = frozenset({LeakKind.THREADS, LeakKind.DESCRIPTORS})

_SAMPLED: dict[Series, Family] = {
    series: Family(f"millpond_{name}", text)
    for series, name, text in (
        (Series.RSS, "rss_bytes", "Resident set size of the process."),
        (Series.USS, "uss_bytes", "Resident memory that no other process shares, read with the ledger."),
        (Series.PSS, "pss_bytes", "Resident memory, shared pages counted by their share, read with the ledger."),
        (Series.SWAP, "swap_bytes", "Swapped-out memory of the process, read with the ledger."),
        (Series.HEAP_USED, "heap_used_bytes", "In use of the C allocator, mapped blocks included."),
        (Series.HEAP_MAPPED, "heap_mapped_bytes", "Of the C allocator's memory in use, blocks with their own mapping."),
        (Series.PYTHON_BLOCKS, "python_blocks", "Blocks that Python's allocator has handed out."),
        (Series.PYTHON_USED, "python_used_bytes", "Bytes in blocks of Python's allocator, read with the ledger."),
        (Series.LIVE, "live_bytes", "Memory in use: the C allocator's and Python's; the leak detector's main series."),
        (Series.THREADS, "threads", "Threads of the process."),
        (Series.DESCRIPTORS, "descriptors", "Open file descriptors."),
        (Series.CPU, "cpu_cores", "CPU time that the process takes; 1 is one core."),
        (Series.SAMPLER_CPU, "sampler_cpu_cores", "CPU time that watching the memory takes; 1 is one core."),
        (Series.GPU_ALLOCATED, "gpu_allocated_bytes", "GPU memory in tensors, by torch."),
        (Series.GPU_RESERVED, "gpu_reserved_bytes", "GPU memory that torch's allocator holds."),
        (Series.GPU_PEAK, "gpu_peak_bytes", "Most GPU memory in tensors so far, by torch."),
        (Series.GPU_USED, "gpu_device_used_bytes", "GPU memory in use by all processes."),
        (Series.GPU_TOTAL, "gpu_device_total_bytes", "Memory of the GPU."),
        (Series.GPU_BUSY, "gpu_busy_ratio", "Share of time in which the GPU worked, 0 to 1."),
        (Series.PRESSURE, "memory_pressure_ratio", "Share of the last 10 s in which a task waited for memory, 0 to 1."),
        (Series.GROUP_USED, "cgroup_used_bytes", "Memory that the control group uses."),
        (Series.GROUP_LIMIT, "cgroup_limit_bytes", "Most memory that the control group may use."),
        (Series.AVAILABLE, "machine_available_bytes", "Memory of the machine that can still be had."),
        (Series.LIMIT, "memory_limit_bytes", "What RSS is held against: configured, the control group's or the RAM."),
    )
}
_SAMPLED_AT = Family("millpond_sample_timestamp_seconds", "When the newest sample was taken, seconds since the epoch.")
SAMPLE_FAMILIES = (*_SAMPLED.values(), _SAMPLED_AT)

_OWNED = Family("millpond_ledger_bytes", "RSS by its owner in the last ledger; the owners add up to RSS.", ("owner",))
_UNNAMED = Family("millpond_ledger_unattributed_bytes", "RSS that the last ledger found no owner for.")
_LEDGER_RSS = Family("millpond_ledger_rss_bytes", "RSS at the time of the last ledger.")
_LEDGER_AT = Family("millpond_ledger_timestamp_seconds", "When the last ledger was made, seconds since the epoch.")
_LEDGER_TOOK = Family("millpond_ledger_cost_seconds", "How long making the last ledger took.")
LEDGER_FAMILIES = (_OWNED, _UNNAMED, _LEDGER_RSS, _LEDGER_AT, _LEDGER_TOOK)

_STATE = Family("millpond_verdict_state", "1 for the state that the leak detector is in.", ("state",))
_KIND = Family("millpond_verdict_kind", "1 for what grows, where the detector says so.", ("kind",))
_GROWTH = Family("millpond_verdict_growth_bytes_per_second", "Growth of the memory in use by the detector.")
_GROWTH_LOW = Family("millpond_verdict_growth_low_bytes_per_second", "Lower end of the growth's interval.")
_GROWTH_HIGH = Family("millpond_verdict_growth_high_bytes_per_second", "Upper end of the growth's interval.")
_COUNT_GROWTH = Family(
    "millpond_verdict_growth_per_second", "Growth of the count of threads or descriptors, where that is what grows."
)
_PER_REQUEST = Family("millpond_verdict_growth_bytes_per_request", "Growth of the memory in use with each request.")
_TO_LIMIT = Family("millpond_verdict_time_to_limit_seconds", "Time until the limit at this growth, if it grows.")
_WINDOW = Family("millpond_verdict_window_seconds", "The stretch of time that the verdict rests on.")
_JUDGED_AT = Family("millpond_verdict_timestamp_seconds", "When the verdict was made, seconds since the epoch.")
VERDICT_FAMILIES = (
    _STATE,
    _KIND,
    _GROWTH,
    _GROWTH_LOW,
    _GROWTH_HIGH,
    _COUNT_GROWTH,
    _PER_REQUEST,
    _TO_LIMIT,
    _WINDOW,
    _JUDGED_AT,
)

_TRACING = Family("millpond_tracing", "1 while allocations are traced.")
_TRACED = Family("millpond_traced_bytes", "Memory in allocations that are traced.")
TRACING_FAMILIES = (_TRACING, _TRACED)


def samples(memory: MemoryMonitor) -> Iterator[Reading]:
    """Return the newest sample's values."""
    sample = memory.history.latest()
    if sample is None:
        return
    for series, family in _SAMPLED.items():
        yield Reading(family, sample.get(series))
    yield Reading(_SAMPLED_AT, sample.time)


def ledger(memory: MemoryMonitor) -> Iterator[Reading]:
    """Return the last ledger; every owner is listed, so that one that came to nothing does not keep its old value."""
    last = memory.ledger.last
    if last is None:
        return
    for owner in Owner:
        yield Reading(_OWNED, last.owners.get(owner, 0), (owner.value,))
    yield Reading(_UNNAMED, last.unnamed)
    yield Reading(_LEDGER_RSS, last.rss)
    yield Reading(_LEDGER_AT, last.time)
    yield Reading(_LEDGER_TOOK, last.took)


def verdict(memory: MemoryMonitor) -> Iterator[Reading]:
    """Return what the detector says; per hour becomes per second, the base unit."""
    now = memory.detector.verdict
    for state in State:
        yield Reading(_STATE, float(now.state is state), (state.value,))
    for kind in LeakKind:
        yield Reading(_KIND, float(now.kind is kind), (kind.value,))
    if now.kind in _COUNTED:
        yield Reading(_COUNT_GROWTH, _per_second(now.slope_per_hour))
    else:
        yield Reading(_GROWTH, _per_second(now.slope_per_hour))
        if now.interval is not None:
            yield Reading(_GROWTH_LOW, _per_second(now.interval[0]))
            yield Reading(_GROWTH_HIGH, _per_second(now.interval[1]))
        yield Reading(_PER_REQUEST, now.per_request)
    if now.seconds_to_limit is not None and math.isfinite(now.seconds_to_limit):
        yield Reading(_TO_LIMIT, now.seconds_to_limit)
    yield Reading(_WINDOW, now.window)
    yield Reading(_JUDGED_AT, now.time)


def tracing(memory: MemoryMonitor) -> Iterator[Reading]:
    """Return whether allocations are traced: the samples say so."""
    sample = memory.history.latest()
    traced = sample.get(Series.TRACED) if sample else None
    yield Reading(_TRACING, float(bool(traced)))
    yield Reading(_TRACED, traced)


def _per_second(per_hour: float | None) -> float | None:
    return None if per_hour is None else per_hour / _HOUR
