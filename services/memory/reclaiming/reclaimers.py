"""The things that can be given back, by name: from every room, and from the shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.access import Actor
from services.errors import NotFoundError
from services.memory.clock import Clock
from services.memory.effects import Accounts, Effect, Outcome, measured
from services.reporting import EventKind, Reporter
from services.texts import _


@dataclass(frozen=True, slots=True)
class Reclaimer:
    """Something that can be given back.

    `estimate` returns what that would free in bytes, measured, or None where nobody can tell; it is quick. `release`
    does it and returns the outcome in words. `cost` says in words what is lost by it.
    """

    name: str
    label: str
    cost: str
    estimate: Callable[[], int | None]
    release: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Offer:
    """A reclaimer with what it would free now; bytes, or None: unknown."""

    name: str
    label: str
    cost: str
    bytes: int | None


class Reclaimers:
    """All of them, in the order in which they were added."""

    def __init__(self, clock: Clock, accounts: Accounts, reporter: Reporter) -> None:
        self._clock = clock
        self._accounts = accounts
        self._reporter = reporter
        self._known: dict[str, Reclaimer] = {}

    def add(self, reclaimer: Reclaimer) -> None:
        """Offer something; a second one of the same name takes the first one's place."""
        self._known[reclaimer.name] = reclaimer

    def offers(self) -> list[Offer]:
        """Return what could be given back now."""
        return [Offer(each.name, each.label, each.cost, each.estimate()) for each in self._known.values()]

    def release(self, actor: Actor, name: str) -> Effect:
        """Give something back and measure what that did.

        Raises:
            ForbiddenError: `actor` may only look.
            NotFoundError: nothing has that name.
        """
        reclaimer = self._known.get(name)
        if reclaimer is None:
            raise NotFoundError(_("There is nothing named {name} to release.").format(name=name[:50]))
        actor.require_admin(reclaimer.label)
        effect = measured(self._accounts, self._clock.time, name, actor.name, lambda: Outcome(reclaimer.release()))
        self._reporter.action(
            actor.name,
            EventKind.RELEASE,
            f"{reclaimer.label}: {effect.detail}",
            seconds=effect.seconds,
            rss_before=effect.rss_before,
            rss_after=effect.rss_after,
        )
        return effect
