"""What the garbage collector is set to, the change on trial, and what our own policy did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.memory.collector.policy_types import Reason
from services.operations.metrics import Family, Reading

if TYPE_CHECKING:
    from services.runtime import Runtime

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


def collector(runtime: Runtime) -> Iterator[Reading]:
    """Return the settings in use and the trial."""
    part = runtime.memory.collector
    state, trial = part.state(count=False), part.trial
    yield Reading(_ENABLED, float(not state.settings.off))
    for generation, (threshold, count) in enumerate(zip(state.settings.thresholds, state.counts, strict=True)):
        yield Reading(_THRESHOLD, threshold, (str(generation),))
        yield Reading(_COUNT, count, (str(generation),))
    yield Reading(_FROZEN, state.frozen)
    yield Reading(_LONG_LIVED, state.long_lived)
    yield Reading(_PENDING, state.pending)
    yield Reading(_TRIAL, float(trial is not None))
    if trial is not None:
        yield Reading(_TRIAL_P95, trial.before_p95, ("before",))
        yield Reading(_TRIAL_P95, trial.now_p95, ("now",))


def policy(runtime: Runtime) -> Iterator[Reading]:
    """Return what the policy did; every reason is listed."""
    state = runtime.policy.state()
    yield Reading(_POLICY, float(state.active))
    for reason in Reason:
        yield Reading(_RUNS, state.runs.get(reason, 0), (reason.value,))
    yield Reading(_SPENT, state.seconds)
    yield Reading(_GROWN, state.grown.blocks)
    yield Reading(_NEEDED, state.needed_blocks)
