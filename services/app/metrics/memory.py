"""Metrics of the process and of its memory: sample, ledger, verdict, tracing, garbage collector and its policy, budget,
refused work, alerts.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from services.core.admission import Admission, Gate
from services.core.memory_report import Owner
from services.memory.budget.governor import Governor
from services.memory.budget.types import BudgetLevel, DecisionKind, LimitSource
from services.memory.gc.policy import CollectionPolicy, CollectionReason
from services.memory.leaks.headline import told_steps
from services.memory.leaks.types import LeakKind, VerdictState
from services.memory.monitor import MemoryMonitor
from services.memory.types import Series
from services.memory.watching_cost import WatchingActivity
from services.operations.metrics import Family, MetricValue
from services.operations.request_log import RecentRequests
from services.operations.webhook import Webhook

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
        (
            Series.SAMPLER_CPU,
            "sampler_cpu_cores",
            "CPU time that watching the memory takes, mean of the last ten minutes; 1 is one core.",
        ),
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
_SAMPLED_AT = Family(
    "millpond_sample_timestamp_seconds", "When the sample shown was taken, seconds since the epoch; at most 4 s ago."
)
_WATCHING = Family(
    "millpond_watching_cpu_cores",
    "CPU time that watching the memory takes by activity, mean of `millpond_watching_window_seconds`; 1 is one core.",
    ("activity",),
)
_WATCHING_WINDOW = Family(
    "millpond_watching_window_seconds", "What the cost of watching is a mean of: ten minutes, or since the start."
)
_WATCHING_PEAK = Family(
    "millpond_watching_peak_cpu_cores", "Highest CPU time of watching in a single second of that window; 1 is one core."
)
SAMPLE_FAMILIES = (*_SAMPLED.values(), _SAMPLED_AT, _WATCHING, _WATCHING_WINDOW, _WATCHING_PEAK)
_OWNED = Family("millpond_ledger_bytes", "RSS by its owner in the last ledger; the owners add up to RSS.", ("owner",))
_UNNAMED = Family("millpond_ledger_unattributed_bytes", "RSS that the last ledger found no owner for.")
_LEDGER_RSS = Family("millpond_ledger_rss_bytes", "RSS at the time of the last ledger.")
_SINCE_LEDGER = Family(
    "millpond_since_ledger_bytes", "RSS less that of the last ledger: what came, or went, and no owner has yet."
)
_LEDGER_AT = Family("millpond_ledger_timestamp_seconds", "When the last ledger was made, seconds since the epoch.")
_LEDGER_TOOK = Family("millpond_ledger_cost_seconds", "How long making the last ledger took.")
LEDGER_FAMILIES = (_OWNED, _UNNAMED, _LEDGER_RSS, _SINCE_LEDGER, _LEDGER_AT, _LEDGER_TOOK)
_STATE = Family("millpond_verdict_state", "1 for the state that the leak detector is in.", ("state",))
_KIND = Family("millpond_verdict_kind", "1 for what grows, where the detector says so.", ("kind",))
_GROWTH = Family("millpond_verdict_growth_bytes_per_second", "Growth of memory in use, or of RSS while nothing leaks.")
_GROWTH_LOW = Family("millpond_verdict_growth_low_bytes_per_second", "Lower end of the growth's interval.")
_GROWTH_HIGH = Family("millpond_verdict_growth_high_bytes_per_second", "Upper end of the growth's interval.")
_COUNT_GROWTH = Family(
    "millpond_verdict_growth_per_second", "Growth of the count of threads or descriptors, where that is what grows."
)
_PER_REQUEST = Family("millpond_verdict_growth_bytes_per_request", "Growth of the memory in use with each request.")
_TO_LIMIT = Family("millpond_verdict_time_to_limit_seconds", "Time until the limit at this growth, if it grows.")
_WINDOW = Family("millpond_verdict_window_seconds", "The stretch of time that the verdict rests on.")
_JUDGED_AT = Family("millpond_verdict_timestamp_seconds", "When the verdict was made, seconds since the epoch.")
_COURSE_LEVEL = Family("millpond_verdict_level_bytes", "RSS when the verdict was made.")
_LEVEL_SINCE = Family(
    "millpond_verdict_course_since_timestamp_seconds",
    "Since when RSS has gone as it does (flat, up and down, rising, falling), seconds since the epoch.",
)
_STEPS = Family("millpond_verdict_steps", "Steps of RSS that the verdict names.")
_STEPPED = Family("millpond_verdict_stepped_bytes", "What these steps add up to.")
_UNEXPLAINED = Family("millpond_verdict_unexplained_bytes", "What those without a cause on the time line add up to.")
VERDICT_FAMILIES = (
    _COURSE_LEVEL,
    _LEVEL_SINCE,
    _STEPS,
    _STEPPED,
    _UNEXPLAINED,
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
_ENABLED = Family("millpond_gc_enabled", "1 while Python collects by itself.")
_THRESHOLD = Family("millpond_gc_threshold", "Threshold of a generation, as in gc.get_threshold().", ("generation",))
_COUNT = Family("millpond_gc_pending", "What a threshold is compared with, as in gc.get_count().", ("generation",))
_FROZEN = Family("millpond_gc_frozen_objects", "Objects that are hidden from the collector.")
_LONG_LIVED = Family("millpond_gc_long_lived_objects", "Objects that the last full collection left.")
_PENDING = Family("millpond_gc_long_lived_pending_objects", "Objects that grew old since the last full collection.")
_TRIAL = Family("millpond_gc_trial", "1 while a change of the collector's settings is on trial.")
_TRIAL_P95 = Family("millpond_gc_trial_pause_p95_seconds", "p95 of pauses before the trial and in it.", ("when",))
_POLICY = Family("millpond_gc_policy_active", "1 while our own policy collects at good moments.")
_RUNS = Family("millpond_gc_policy_runs_total", "Collections that our own policy made.", ("reason",), kind="counter")
_SPENT = Family("millpond_gc_policy_pause_seconds_total", "Sum of the pauses of our own policy.", kind="counter")
_GROWN = Family("millpond_gc_policy_grown_blocks", "Blocks that came since the last full collection.")
_NEEDED = Family("millpond_gc_policy_needed_blocks", "Blocks that must have come for a collection under load.")
COLLECTOR_FAMILIES = (_ENABLED, _THRESHOLD, _COUNT, _FROZEN, _LONG_LIVED, _PENDING, _TRIAL, _TRIAL_P95)
POLICY_FAMILIES = (_POLICY, _RUNS, _SPENT, _GROWN, _NEEDED)
_PARTS = ("streamlit", "torch", "faiss-cpu", "langchain-core", "sqlalchemy")
_BUILD = Family(
    "millpond_build_info",
    "Always 1; what is running.",
    ("version", "python", *(part.replace("-", "_") for part in _PARTS)),
)
_STARTED = Family(
    "millpond_start_time_seconds",
    "When Millpond began to start, seconds since the epoch; its process began some seconds earlier.",
)
_READY = Family("millpond_ready", "1 once everything is loaded and warm.")
_SESSIONS = Family("millpond_sessions", "Browser tabs that are connected.")
_WORK = Family(
    "millpond_work_total",
    "Requests that did work: calls of the API, runs of pages and answers that pages asked for.",
    kind="counter",
)
FAMILIES = (_BUILD, _STARTED, _READY, _WORK)
SESSION_FAMILIES = (_SESSIONS,)
_LIMIT = Family("millpond_budget_limit_bytes", "What memory is held against; `source` says who set it.", ("source",))
_WATERMARK = Family("millpond_budget_watermark_bytes", "Where each level is reached.", ("level",))
_USED = Family("millpond_budget_used_bytes", "What counts against the limit: RSS, or what the container uses.")
_PEAK = Family("millpond_budget_peak_bytes", "The highest use that the budget has seen since the start.")
_FLOOR = Family("millpond_budget_floor_bytes", "RSS when the service was ready.")
_RESERVED = Family("millpond_budget_reserved_bytes", "Bytes that are promised to work in progress.")
_LEVEL = Family("millpond_budget_level", "The level that was reached: 0 calm, 1 soft, 2 high, 3 hard.")
_ACTING = Family("millpond_budget_acting", "1 if the budget acts, 0 if it is paused, off or in a dry run.")
_STEP = Family("millpond_budget_step_active", "1 while a step is in force.", ("step",))
_DECISIONS = Family(
    "millpond_budget_decisions_total", "What the budget decided, by step and kind.", ("step", "kind"), kind="counter"
)
BUDGET_FAMILIES = (_LIMIT, _WATERMARK, _USED, _PEAK, _FLOOR, _RESERVED, _LEVEL, _ACTING, _STEP, _DECISIONS)
_CLOSED = Family("millpond_door_closed", "1 while such work is refused.", ("door",))
_CLOSED_BY = Family(
    "millpond_door_closed_by", "1 while such work is refused by the budget, a person or a restart.", ("door", "by")
)
_REFUSED = Family(
    "millpond_refused_total",
    "Work that was refused: by door, or for want of room in memory.",
    ("door",),
    kind="counter",
)
_PACE = Family("millpond_ingestion_rest_seconds", "How long ingestion rests after each document to spare memory.")
ADMISSION_FAMILIES = (_CLOSED, _CLOSED_BY, _REFUSED, _PACE)
_ALERTS = Family("millpond_alerts_total", "Alerts to the webhook, by how that ended.", ("outcome",), kind="counter")
_ALERTS_WAITING = Family("millpond_alerts_waiting", "Alerts that wait for the webhook.")
ALERT_FAMILIES = (_ALERTS, _ALERTS_WAITING)


def samples(memory: MemoryMonitor) -> Iterator[MetricValue]:
    """Return the values of the sample that is shown, and what watching costs."""
    shown = memory.snapshot()
    if shown is None:
        return
    for series, family in _SAMPLED.items():
        yield MetricValue(family, shown.sample.get(series))
    yield MetricValue(_SAMPLED_AT, shown.time)
    for activity in WatchingActivity:
        yield MetricValue(_WATCHING, shown.watching.by_activity.get(activity, 0.0), (activity.value,))
    yield MetricValue(_WATCHING_WINDOW, shown.watching.window_seconds)
    yield MetricValue(_WATCHING_PEAK, shown.watching.peak_cores)


def ledger(memory: MemoryMonitor) -> Iterator[MetricValue]:
    """Return the last ledger; every owner is listed, so that one that came to nothing does not keep its old value."""
    shown = memory.snapshot()
    last = shown.ledger if shown is not None else None
    if shown is None or last is None:
        return
    for owner in Owner:
        yield MetricValue(_OWNED, last.owners.get(owner, 0), (owner.value,))
    yield MetricValue(_UNNAMED, last.unnamed)
    yield MetricValue(_LEDGER_RSS, last.rss)
    yield MetricValue(_SINCE_LEDGER, shown.since_ledger)
    yield MetricValue(_LEDGER_AT, last.time)
    yield MetricValue(_LEDGER_TOOK, last.took)


def verdict(memory: MemoryMonitor) -> Iterator[MetricValue]:
    """Return what the detector says; per hour becomes per second, the base unit."""
    now = memory.detector.verdict
    for state in VerdictState:
        yield MetricValue(_STATE, float(now.state is state), (state.value,))
    for kind in LeakKind:
        yield MetricValue(_KIND, float(now.kind is kind), (kind.value,))
    if now.kind in _COUNTED:
        yield MetricValue(_COUNT_GROWTH, _per_second(now.slope_per_hour))
    else:
        yield MetricValue(_GROWTH, _per_second(now.slope_per_hour))
        if now.interval is not None:
            yield MetricValue(_GROWTH_LOW, _per_second(now.interval[0]))
            yield MetricValue(_GROWTH_HIGH, _per_second(now.interval[1]))
        yield MetricValue(_PER_REQUEST, now.per_request)
    if now.seconds_to_limit is not None and math.isfinite(now.seconds_to_limit):
        yield MetricValue(_TO_LIMIT, now.seconds_to_limit)
    yield MetricValue(_COURSE_LEVEL, now.level_bytes)
    if now.course is not None:
        yield MetricValue(_LEVEL_SINCE, now.course.since)
    steps = told_steps(now)
    yield MetricValue(_STEPS, len(steps))
    yield MetricValue(_STEPPED, sum(step.bytes for step in steps))
    yield MetricValue(_UNEXPLAINED, sum(step.bytes for step in steps if not step.causes))
    yield MetricValue(_WINDOW, now.window_seconds)
    yield MetricValue(_JUDGED_AT, now.time)


def tracing(memory: MemoryMonitor) -> Iterator[MetricValue]:
    """Return whether allocations are traced: the samples say so."""
    shown = memory.snapshot()
    traced = shown.sample.get(Series.TRACED) if shown else None
    yield MetricValue(_TRACING, float(bool(traced)))
    yield MetricValue(_TRACED, traced)


def _per_second(per_hour: float | None) -> float | None:
    return None if per_hour is None else per_hour / _HOUR


def collector(memory: MemoryMonitor) -> Iterator[MetricValue]:
    """Return the settings in use, what the collector counts, and the trial."""
    state, trial = memory.collector_state(count=False), memory.collector.trial
    yield MetricValue(_ENABLED, float(not state.settings.off))
    for generation, (threshold, count) in enumerate(zip(state.settings.thresholds, state.counts, strict=True)):
        yield MetricValue(_THRESHOLD, threshold, (str(generation),))
        yield MetricValue(_COUNT, count, (str(generation),))
    yield MetricValue(_FROZEN, state.frozen)
    yield MetricValue(_LONG_LIVED, state.long_lived)
    yield MetricValue(_PENDING, state.pending)
    yield MetricValue(_TRIAL, float(trial is not None))
    if trial is not None:
        yield MetricValue(_TRIAL_P95, trial.before_p95, ("before",))
        yield MetricValue(_TRIAL_P95, trial.now_p95, ("now",))


def policy(policy: CollectionPolicy) -> Iterator[MetricValue]:
    """Return what the policy did; every reason is listed."""
    state = policy.state()
    yield MetricValue(_POLICY, float(state.active))
    for reason in CollectionReason:
        yield MetricValue(_RUNS, state.runs.get(reason, 0), (reason.value,))
    yield MetricValue(_SPENT, state.seconds)
    yield MetricValue(_GROWN, state.grown.blocks)
    yield MetricValue(_NEEDED, state.needed_blocks)


class ProcessGauges:
    """Reads what is known from the first moment on."""

    def __init__(
        self,
        ready: Callable[[], bool],
        request_log: RecentRequests,
        started_at: float,
    ) -> None:
        self._ready = ready
        self._request_log = request_log
        self._started_at = started_at

    def read(self) -> Iterator[MetricValue]:
        """Return the readings now."""
        yield MetricValue(_BUILD, 1.0, _build())
        yield MetricValue(_STARTED, self._started_at)
        yield MetricValue(_READY, float(self._ready()))
        yield MetricValue(_WORK, self._request_log.total)


def sessions(count: Callable[[], int], memory: MemoryMonitor | None = None) -> Iterator[MetricValue]:
    """Return the number of browser tabs, that of the sample which is shown where there is one."""
    shown = memory.snapshot() if memory is not None else None
    sampled = shown.sample.get(Series.SESSIONS) if shown is not None else None
    yield MetricValue(_SESSIONS, count() if sampled is None else sampled)


@functools.cache
def _build() -> tuple[str, ...]:
    return (_version("millpond"), platform.python_version(), *(_version(part) for part in _PARTS))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def budget(governor: Governor) -> Iterator[MetricValue]:
    """Return how the budget stands."""
    state = governor.state()
    for source in LimitSource:
        if source is state.budget.source and state.budget.limit:
            yield MetricValue(_LIMIT, state.budget.limit, (source.value,))
    for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD):
        yield MetricValue(_WATERMARK, state.budget.reached_bytes(level), (level.name.lower(),))
    yield MetricValue(_USED, state.used_bytes)
    yield MetricValue(_PEAK, state.peak_bytes)
    yield MetricValue(_FLOOR, state.ready_rss_bytes or None)
    yield MetricValue(_RESERVED, state.reserved_bytes)
    yield MetricValue(_LEVEL, float(state.level))
    yield MetricValue(_ACTING, float(governor.enforcing))
    counts = governor.decision_counts()
    for step in governor.actions():
        yield MetricValue(_STEP, float(step.name in state.active), (step.name,))
        for kind in (DecisionKind.TAKEN, DecisionKind.UNDONE, DecisionKind.PASSED_OVER, DecisionKind.FAILED):
            yield MetricValue(_DECISIONS, counts.get((step.name, kind), 0), (step.name, kind.value))


def admission(admission: Admission) -> Iterator[MetricValue]:
    """Return what is refused."""
    closed = admission.closed()
    for door in Gate:
        yield MetricValue(_CLOSED, float(door in closed), (door.value,))
        if door in closed:
            yield MetricValue(_CLOSED_BY, 1.0, (door.value, closed[door].by))
    for name, count in admission.refusal_counts().items():
        yield MetricValue(_REFUSED, count, (name,))
    yield MetricValue(_PACE, admission.pause_seconds)


def alerts(webhook: Webhook) -> Iterator[MetricValue]:
    """Return how alerts arrive."""
    state = webhook.state()
    for outcome, count in (("delivered", state.delivered), ("failed", state.failed), ("dropped", state.dropped)):
        yield MetricValue(_ALERTS, count, (outcome,))
    yield MetricValue(_ALERTS_WAITING, state.waiting)
