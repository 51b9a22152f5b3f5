"""The registry of reclaimers: what can be released to free memory, by name."""

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
from services.memory.effects import ActionOutcome, Effect, LedgerSource, RecentEffects, measure_effect

log = structlog.get_logger(__name__)

LOCK_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Reclaimer:
    """Something that can be released to free memory.

    `estimate` returns the bytes that would be freed, measured (None: unknown); it must be quick. `release` does it and
    returns the outcome in words. `cost` says in words what is lost. `present` is whether it exists at present: without
    a GPU there is no cache of its memory.
    """

    name: str
    label: str
    cost: str
    estimate: Callable[[], int | None]
    release: Callable[[], str]
    present: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class ReclaimOffer:
    """A reclaimer with the bytes it would free now (None: unknown)."""

    name: str
    label: str
    cost: str
    bytes: int | None


class Reclaimers:
    """All reclaimers, in the order in which they were added. Thread-safe; releases run one at a time, so that each
    measured effect belongs to one of them."""

    def __init__(
        self, clock: Clock, ledger_source: LedgerSource, reporter: EventSink, effects: RecentEffects | None = None
    ) -> None:
        self._clock = clock
        self._ledger_source = ledger_source
        self._reporter = reporter
        self._effects = effects or RecentEffects()
        self._reclaimers: dict[str, Reclaimer] = {}
        self._releasing = threading.Lock()

    def add(self, reclaimer: Reclaimer) -> None:
        """Add a reclaimer; a second one of the same name replaces the first."""
        self._reclaimers[reclaimer.name] = reclaimer

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the reclaimers that are present."""
        return tuple(each.name for each in [*self._reclaimers.values()] if each.present())

    def available(self) -> list[ReclaimOffer]:
        """Return the reclaimers that are present, with estimates."""
        return [
            ReclaimOffer(each.name, each.label, each.cost, _estimate(each))
            for each in [*self._reclaimers.values()]
            if each.present()
        ]

    def label(self, name: str) -> str:
        """Return the label of a reclaimer, its name where it is unknown."""
        reclaimer = self._reclaimers.get(name)
        return reclaimer.label if reclaimer else name

    def release(self, actor: Actor, name: str) -> Effect:
        """Release something and return the measured effect.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            NotFoundError: there is no reclaimer of that name.
            BusyError: another release is still running.
            MillpondError: the release failed; an event records that.
        """
        reclaimer = self._reclaimers.get(name)
        actor.require_admin(reclaimer.label if reclaimer else _("Release memory"))
        if reclaimer is None or not reclaimer.present():
            raise NotFoundError(
                _("There is nothing named {name} to release.").format(name=name[:50]),
                _("Available: {names}.").format(names=", ".join(self.names)),
            )
        if not self._releasing.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise BusyError(_("Something else is being released."), _("Try again in a moment."))
        try:
            effect = measure_effect(
                self._ledger_source, self._clock.time, name, actor.name, lambda: ActionOutcome(reclaimer.release())
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
            rss_before=effect.rss_before_bytes,
            rss_after=effect.rss_after_bytes,
        )
        return effect


def _estimate(reclaimer: Reclaimer) -> int | None:
    try:
        return reclaimer.estimate()
    except Exception:
        # One failing estimate must not hide the others.
        log.exception("estimate failed", reclaimer=reclaimer.name)
        return None
