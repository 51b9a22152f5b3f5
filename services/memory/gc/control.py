"""The garbage collector of this process: its settings, on trial or kept, and collections on demand."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

from services.core.access import Actor
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.effects import ActionOutcome, Effect, LedgerSource, RecentEffects, measure_effect
from services.memory.gc.explain import current_rules, read_gate_counts
from services.memory.gc.interpreter import CollectionResult, InterpreterGC, collect, validate_generation
from services.memory.gc.trials import ActionGuard, SavedSettings, Trials
from services.memory.gc.types import GCSettings, GCState, Trial
from services.memory.sampling.gc_pauses import PauseRecorder


class GCControl:
    """Acts on `gc`. Thread-safe; every method that changes something asks who it is and leaves an event.

    Nothing is changed before `start` (which uses what was kept) or a person's change; `close` puts everything back.
    """

    def __init__(
        self,
        clock: Clock,
        accounts: LedgerSource,
        pauses: PauseRecorder,
        reporter: EventSink,
        preferences: Preferences | None = None,
        *,
        effects: RecentEffects | None = None,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._pauses = pauses
        self._effects = effects or RecentEffects()
        self._acting = ActionGuard(reporter)
        self._own = InterpreterGC()
        self._trying = Trials(clock, pauses, self._acting, SavedSettings(preferences), self._own)
        self._lock = threading.RLock()

    @property
    def trial(self) -> Trial | None:
        """The change that is being tried, if any."""
        return self._trying.trial

    @property
    def last_trial(self) -> Trial | None:
        """The trial that ended last, if any; its `verdict` says how."""
        return self._trying.last

    @property
    def settings(self) -> GCSettings:
        """What is in use now, read from Python itself."""
        return self._trying.settings

    def start(self) -> None:
        """Use the settings that were kept, if any."""
        self._trying.start()

    def state(self, *, count: bool = True) -> GCState:
        """Return how the collector stands now (20 us, and 20 ms per million objects every 15 seconds).

        Not to `count`, `tracked` is what it was at the last count, 0 before there was any.
        """
        stats, counts, found = gc.get_stats(), gc.get_count(), read_gate_counts()
        return GCState(
            settings=self.settings,
            kept=self._trying.kept.settings,
            defaults=current_rules().defaults,
            counts=(counts[0], counts[1], counts[2]),
            collections=(stats[0]["collections"], stats[1]["collections"], stats[2]["collections"]),
            frozen=gc.get_freeze_count(),
            uncollectable=sum(each["uncollectable"] for each in stats),
            tracked=self._own.tracked(count=count),
            pending=None if found is None else found[1],
            long_lived=None if found is None else found[0],
        )

    def change(self, actor: Actor, settings: GCSettings, trial_seconds: float | None = None) -> Trial | None:
        """Use `settings`; for `trial_seconds` only, or from now on and after restarts when None.

        A change during a trial takes the trial's place: what it would go back to, and the pauses that it is held
        against, are still those before the first one.

        Raises:
            ForbiddenError: `actor` may only look.
            BadInputError: the settings or the length of the trial cannot be used; nothing was changed.
            StorageError: they could not be kept; nothing was changed.
        """
        return self._trying.change(actor, settings, trial_seconds)

    def keep(self, actor: Actor) -> None:
        """Keep what is being tried.

        Raises:
            ForbiddenError: `actor` may only look.
            ConflictError: nothing is being tried.
            StorageError: it could not be kept; the trial goes on.
        """
        self._trying.keep(actor)

    def revert(self, actor: Actor) -> None:
        """Go back to what was before the trial.

        Raises:
            ForbiddenError: `actor` may only look.
            ConflictError: nothing is being tried.
        """
        self._trying.revert(actor)

    def check(self) -> None:
        """Look after the trial; called every second by `memory-watch`."""
        self._trying.check()

    def freeze(self, actor: Actor) -> Effect:
        """Hide all present objects from the collector, after a last collection, so that no garbage is hidden.

        From then on it looks at new objects only; `gc.get_objects`, and what counts by it, does not show the others.
        Cycles among hidden objects do not come back until they are shown again.
        """

        def act() -> ActionOutcome:
            last = collect(self._pauses, 2)
            hidden = self._own.freeze()
            collect(self._pauses, 2)  # nothing is left to look at: the gate of generation 2 begins anew
            text = plural("{count} object is hidden now", "{count} objects are hidden now", hidden)
            return ActionOutcome(text, last.found, last.uncollectable)

        return self._act(actor, "freeze", _("Freeze"), act)

    def unfreeze(self, actor: Actor) -> Effect:
        """Show all hidden objects to the collector again, and have it look at them at once."""

        def act() -> ActionOutcome:
            shown = self._own.unfreeze()
            first = collect(self._pauses, 2)
            text = plural("{count} object is seen again", "{count} objects are seen again", shown)
            return ActionOutcome(text, first.found, first.uncollectable)

        return self._act(actor, "unfreeze", _("Unfreeze"), act)

    def collect(self, actor: Actor, generation: int = 2) -> Effect:
        """Collect a generation and those below it.

        Raises:
            ForbiddenError: `actor` may only look.
            BadInputError: there is no such generation.
        """

        def act() -> ActionOutcome:
            validate_generation(generation)
            done = collect(self._pauses, generation)
            text = plural("{count} object found", "{count} objects found", done.found)
            told = _("generation {number}: {text}").format(number=generation, text=text)
            return ActionOutcome(told, done.found, done.uncollectable)

        return self._act(actor, "collect", _("Collect"), act)

    def run(self, generation: int) -> CollectionResult:
        """Collect for the service's own policy: no looks at the memory before and after, no event."""
        return collect(self._pauses, generation)

    def close(self) -> None:
        """Put everything back as Python has it; safe to call twice."""
        self._trying.close()

    def _act(self, actor: Actor, action: str, label: str, act: Callable[[], ActionOutcome]) -> Effect:
        with self._acting.allowed(actor, label, EventKind.COLLECTION), self._lock:
            effect = measure_effect(self._accounts, self._clock.time, action, actor.name, act)
        self._effects.add(effect)
        self._acting.tell(
            actor,
            EventKind.COLLECTION,
            f"{label}: {effect.detail}",
            seconds=effect.seconds,
            found=effect.found or 0,
            uncollectable=effect.uncollectable or 0,
            rss_before=effect.rss_before,
            rss_after=effect.rss_after,
        )
        return effect
