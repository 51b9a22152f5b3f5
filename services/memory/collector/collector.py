"""The garbage collector of this process: its settings, on trial or kept, and collections on demand."""

from __future__ import annotations

import gc

from services.access import Actor
from services.memory.clock import Clock
from services.memory.collector.types import CollectorSettings, CollectorState, Trial
from services.memory.effects import Accounts, Effect, Outcome, measured
from services.memory.sampling.pauses import PauseRecorder
from services.preferences import Preferences
from services.reporting import EventKind, Reporter
from services.texts import _


class Collector:
    """Acts on `gc`. Thread-safe; every method that changes something asks who it is and leaves an event."""

    def __init__(
        self,
        clock: Clock,
        accounts: Accounts,
        pauses: PauseRecorder,
        reporter: Reporter,
        preferences: Preferences | None = None,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._pauses = pauses
        self._reporter = reporter
        self._preferences = preferences

    @property
    def trial(self) -> Trial | None:
        """The change that is being tried, if any."""
        return None

    def state(self) -> CollectorState:
        """Return how the collector stands now (0.2 ms)."""
        raise NotImplementedError

    def change(self, actor: Actor, settings: CollectorSettings, trial_seconds: float | None = None) -> Trial | None:
        """Use `settings`; for `trial_seconds` only, or from now on and after restarts when None."""
        raise NotImplementedError

    def keep(self, actor: Actor) -> None:
        """Keep what is being tried."""
        raise NotImplementedError

    def revert(self, actor: Actor) -> None:
        """Go back to what was before the trial."""
        raise NotImplementedError

    def freeze(self, actor: Actor) -> Effect:
        """Hide all present objects from the collector."""
        raise NotImplementedError

    def unfreeze(self, actor: Actor) -> Effect:
        """Show them to it again."""
        raise NotImplementedError

    def collect(self, actor: Actor, generation: int = 2) -> Effect:
        """Collect a generation and those below it."""
        actor.require_admin(_("Collect"))

        def act() -> Outcome:
            found = gc.collect(generation)
            return Outcome(found=found)

        effect = measured(self._accounts, self._clock.time, "collect", actor.name, act)
        self._reporter.action(actor.name, EventKind.COLLECTION, _("collected"), seconds=effect.seconds)
        return effect

    def check(self) -> None:
        """Look after the trial; called every second by `memory-watch`."""

    def close(self) -> None:
        """Put everything back as Python has it."""
