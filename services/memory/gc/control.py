"""Control of the garbage collector: settings, trials, freezing and collections on demand."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping

from services.core.actor import Actor
from services.core.auditing import Action
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.gc.explain import current_rules, read_gate_counts
from services.memory.gc.interpreter import CollectionResult, InterpreterGC, collect, validate_generation
from services.memory.gc.trials import ActionGuard, SavedSettings, Trials
from services.memory.gc.types import CollectorCounts, GCSettings, GCState, Trial
from services.memory.reclaimers import ActionOutcome, Effect, LedgerSource, RecentEffects, measure_effect
from services.memory.sampling.gc_pauses import PauseRecorder, PauseTotals
from services.memory.types import Series

_COUNTS = (Series.GC_COUNT_0, Series.GC_COUNT_1, Series.GC_COUNT_2)
_RUNS = (Series.GC_RUNS_0, Series.GC_RUNS_1, Series.GC_RUNS_2)


class GCControl:
    """Controls `gc`. Thread-safe; every method that changes something authorizes the actor and emits an event.

    Nothing is changed before `start` (which applies the saved settings) or a user's change; `close` restores the
    original settings.
    """

    def __init__(
        self,
        clock: Clock,
        ledger_source: LedgerSource,
        pauses: PauseRecorder,
        reporter: EventSink,
        preferences: Preferences | None = None,
        *,
        effects: RecentEffects | None = None,
    ) -> None:
        self._clock = clock
        self._ledger_source = ledger_source
        self._pauses = pauses
        self._effects = effects or RecentEffects()
        self._guard = ActionGuard(reporter)
        self._interpreter = InterpreterGC()
        self._trials = Trials(clock, pauses, self._guard, SavedSettings(preferences), self._interpreter)
        self._lock = threading.RLock()

    @property
    def trial(self) -> Trial | None:
        """The running trial, if any."""
        return self._trials.trial

    @property
    def last_trial(self) -> Trial | None:
        """The last trial that ended, if any; its `verdict` says how."""
        return self._trials.last

    @property
    def settings(self) -> GCSettings:
        """The settings in use, read from the interpreter."""
        return self._trials.settings

    def start(self) -> None:
        """Apply the saved settings, if any."""
        self._trials.start()

    def counts(self) -> CollectorCounts:
        """Return what the collector counts now (20 us)."""
        stats, counts, gate = gc.get_stats(), gc.get_count(), read_gate_counts()
        return CollectorCounts(
            counts=(counts[0], counts[1], counts[2]),
            collections=(stats[0]["collections"], stats[1]["collections"], stats[2]["collections"]),
            frozen=gc.get_freeze_count(),
            uncollectable=sum(each["uncollectable"] for each in stats),
            pending=None if gate is None else gate[1],
            long_lived=None if gate is None else gate[0],
        )

    def state(self, counted: CollectorCounts | None = None, *, count: bool = True) -> GCState:
        """Return the state of the collector (20 us, and 20 ms per million objects every 15 seconds).

        What the collector counts is that of `counted`, by default read now. Without `count`, `tracked` is the result of
        the last count, 0 before the first one.
        """
        found = counted or self.counts()
        return GCState(
            settings=self.settings,
            kept=self._trials.saved.settings,
            defaults=current_rules().defaults,
            counts=found.counts,
            collections=found.collections,
            frozen=found.frozen,
            uncollectable=found.uncollectable,
            tracked=self._interpreter.tracked(count=count),
            pending=found.pending,
            long_lived=found.long_lived,
        )

    def change(self, actor: Actor, settings: GCSettings, trial_seconds: float | None = None) -> Trial | None:
        """Apply `settings`: on trial for `trial_seconds`, or permanently and after restarts when None.

        A change during a trial replaces the trial: the settings to revert to, and the pauses to compare with, are still
        those from before the first one.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            BadInputError: the settings or the length of the trial are not valid; nothing was changed.
            StorageError: they could not be saved; nothing was changed.
        """
        return self._trials.change(actor, settings, trial_seconds)

    def keep(self, actor: Actor) -> None:
        """Save the settings on trial.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            ConflictError: there is no trial.
            StorageError: they could not be saved; the trial goes on.
        """
        self._trials.keep(actor)

    def revert(self, actor: Actor) -> None:
        """Revert to the settings from before the trial.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            ConflictError: there is no trial.
        """
        self._trials.revert(actor)

    def check(self) -> None:
        """End the trial if it is due; called every second by `memory-watch`."""
        self._trials.check()

    def freeze(self, actor: Actor) -> Effect:
        """Hide all present objects from the collector, after a full collection, so that no garbage is hidden.

        From then on it examines new objects only, and `gc.get_objects` does not return the hidden ones. Garbage cycles
        among them are not freed until `unfreeze`. Errors as for `collect`.
        """

        def act() -> ActionOutcome:
            last = collect(self._pauses, 2)
            hidden = self._interpreter.freeze()
            collect(self._pauses, 2)  # nothing is left to examine: resets the gate of generation 2
            text = plural("{count} object is hidden now", "{count} objects are hidden now", hidden)
            return ActionOutcome(text, last.found, last.uncollectable)

        return self._act(actor, "freeze", _("Freeze"), act)

    def unfreeze(self, actor: Actor) -> Effect:
        """Make all hidden objects visible to the collector again, and collect at once. Errors as for `collect`."""

        def act() -> ActionOutcome:
            shown = self._interpreter.unfreeze()
            first = collect(self._pauses, 2)
            text = plural("{count} object is visible again", "{count} objects are visible again", shown)
            return ActionOutcome(text, first.found, first.uncollectable)

        return self._act(actor, "unfreeze", _("Unfreeze"), act)

    def collect(self, actor: Actor, generation: int = 2) -> Effect:
        """Collect a generation and the younger ones.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            BadInputError: there is no such generation.
        """

        def act() -> ActionOutcome:
            validate_generation(generation)
            result = collect(self._pauses, generation)
            text = plural("{count} object found", "{count} objects found", result.found)
            outcome = _("generation {number}: {text}").format(number=generation, text=text)
            return ActionOutcome(outcome, result.found, result.uncollectable)

        return self._act(actor, "collect", _("Collect"), act)

    def collect_unrecorded(self, generation: int) -> CollectionResult:
        """Collect for the service itself: without authorization, ledgers before and after, or an event."""
        return collect(self._pauses, generation)

    def close(self) -> None:
        """End the trial and restore the original settings; safe to call twice."""
        self._trials.close()

    def _act(self, actor: Actor, action: str, label: str, act: Callable[[], ActionOutcome]) -> Effect:
        with self._guard.authorize(actor, label, EventKind.COLLECTION), self._lock:
            effect = measure_effect(self._ledger_source, self._clock.time, action, actor.name, act)
        self._effects.add(effect)
        self._guard.record(actor, Action.COLLECTOR_RUN, f"{label}: {effect.detail}")
        self._guard.emit(
            actor,
            EventKind.COLLECTION,
            f"{label}: {effect.detail}",
            seconds=effect.seconds,
            found=effect.found or 0,
            uncollectable=effect.uncollectable or 0,
            rss_before=effect.rss_before_bytes,
            rss_after=effect.rss_after_bytes,
        )
        return effect


def collector_columns(found: CollectorCounts, totals: PauseTotals) -> Mapping[str, float]:
    """Return the collector's columns of a sample."""
    values: dict[str, float] = {column: float(count) for column, count in zip(_COUNTS, found.counts, strict=True)}
    values |= {column: float(count) for column, count in zip(_RUNS, found.collections, strict=True)}
    values[Series.GC_UNCOLLECTABLE] = float(found.uncollectable)
    values[Series.GC_PAUSE] = sum(seconds for _counts, seconds in totals.values())
    return values
