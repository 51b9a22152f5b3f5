"""The things that can be given back, by name: from every room, and from the shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.core.access import Actor
from services.core.errors import BusyError, MillpondError, NotFoundError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.effects import Effect, LedgerSource, MeasuredAction, RecentEffects, measured

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Reclaimer:
    """Something that can be given back.

    `estimate` returns what that would free in bytes, measured, or None where nobody can tell; it is quick. `release`
    does it and returns the outcome in words. `cost` says in words what is lost by it. `present` is whether it exists at
    all just now: without a GPU there is no cache of its memory.
    """

    name: str
    label: str
    cost: str
    estimate: Callable[[], int | None]
    release: Callable[[], str]
    present: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Offer:
    """A reclaimer with what it would free now; bytes, or None: unknown."""

    name: str
    label: str
    cost: str
    bytes: int | None


class Reclaimers:
    """All of them, in the order in which they were added. Thread-safe; one is released at a time, so that what is
    measured is its own."""

    def __init__(
        self, clock: Clock, accounts: LedgerSource, reporter: EventSink, effects: RecentEffects | None = None
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._reporter = reporter
        self._effects = effects or RecentEffects()
        self._known: dict[str, Reclaimer] = {}
        self._releasing = threading.Lock()

    def add(self, reclaimer: Reclaimer) -> None:
        """Offer something; a second one of the same name takes the first one's place."""
        self._known[reclaimer.name] = reclaimer

    @property
    def names(self) -> tuple[str, ...]:
        """What can be released now."""
        return tuple(each.name for each in [*self._known.values()] if each.present())

    def offers(self) -> list[Offer]:
        """Return what could be given back now."""
        return [
            Offer(each.name, each.label, each.cost, _estimate(each))
            for each in [*self._known.values()]
            if each.present()
        ]

    def label(self, name: str) -> str:
        """Return what people call something, its name where there is none."""
        known = self._known.get(name)
        return known.label if known else name

    def release(self, actor: Actor, name: str) -> Effect:
        """Give something back and measure what that did.

        Raises:
            ForbiddenError: `actor` may only look.
            NotFoundError: nothing has that name.
            BusyError: something else is being given back, and that does not end.
            MillpondError: it could not be given back; the event says so.
        """
        reclaimer = self._known.get(name)
        actor.require_admin(reclaimer.label if reclaimer else _("Give memory back"))
        if reclaimer is None or not reclaimer.present():
            raise NotFoundError(
                _("There is nothing named {name} to release.").format(name=name[:50]),
                _("There are: {names}.").format(names=", ".join(self.names)),
            )
        if not self._releasing.acquire(timeout=PATIENCE_SECONDS):
            raise BusyError(_("Something else is being given back just now."), _("Try again in a moment."))
        try:
            effect = measured(
                self._accounts, self._clock.time, name, actor.name, lambda: MeasuredAction(reclaimer.release())
            )
        except MillpondError as error:
            failed = _("{what}: failed: {reason}").format(what=reclaimer.label, reason=error.message)
            self._reporter.action(actor.name, EventKind.RELEASE, failed)
            raise
        finally:
            self._releasing.release()
        self._effects.add(effect)
        self._reporter.action(
            actor.name,
            EventKind.RELEASE,
            f"{reclaimer.label}: {effect.detail}",
            seconds=effect.seconds,
            rss_before=effect.rss_before,
            rss_after=effect.rss_after,
        )
        return effect


def _estimate(reclaimer: Reclaimer) -> int | None:
    try:
        return reclaimer.estimate()
    except Exception:
        # One part that cannot tell must not take the whole list away.
        log.exception("estimate failed", reclaimer=reclaimer.name)
        return None
