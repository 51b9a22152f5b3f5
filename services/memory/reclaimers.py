"""Reclaimers: what can be released to free memory, by name, and the effect of an action on memory, measured with a
ledger before and after it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind, audited
from services.core.errors import BusyError, MillpondError, NotFoundError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, listed
from services.core.memory_report import Owner
from services.memory.clock import Clock
from services.memory.ledger.ledger import Ledger
from services.memory.process import rss_bytes

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
        actor.require(Permission.OPERATE, reclaimer.label if reclaimer else _("Release memory"))
        if reclaimer is None or not reclaimer.present():
            raise NotFoundError(
                _("There is nothing named {name} to release.").format(name=name[:50]),
                _("Available: {names}.").format(names=listed(self.names)),
            )
        if not self._releasing.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise BusyError(_("Something else is being released."), _("Try again in a moment."))
        try:
            with audited(self._reporter, actor, Action.MEMORY_RELEASED, Target(TargetKind.MEMORY, name)):
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


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one action. Sizes in bytes; `seconds` is the duration of the action itself, without the ledgers.

    `found` and `uncollectable` are counts of objects, None where the action was no collection. `detail` is the outcome
    in words.
    """

    action: str
    actor: str
    time: float
    seconds: float
    rss_before_bytes: int
    rss_after_bytes: int
    owners_before: Mapping[Owner, int] = field(default_factory=dict)
    owners_after: Mapping[Owner, int] = field(default_factory=dict)
    found: int | None = None
    uncollectable: int | None = None
    detail: str = ""

    @property
    def freed(self) -> int:
        """The RSS freed in bytes, negative where it grew."""
        return self.rss_before_bytes - self.rss_after_bytes


class RecentEffects:
    """The most recent effects of all actions, bounded; `added` is called after each. Thread-safe."""

    def __init__(self, limit: int = 20, added: Callable[[], object] = lambda: None) -> None:
        self._effects: deque[Effect] = deque(maxlen=limit)
        self._added = added

    def add(self, effect: Effect) -> Effect:
        """Add an effect and return it."""
        self._effects.append(effect)
        self._added()
        return effect

    def latest(self) -> tuple[Effect, ...]:
        """Return the recorded effects, newest first."""
        return tuple(reversed(self._effects.copy()))


class LedgerSource(Protocol):
    """Builds a ledger."""

    def build(self) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """The outcome that an action reports; counts of objects where it was a collection."""

    detail: str = ""
    found: int | None = None
    uncollectable: int | None = None


def measure_effect(
    ledger_source: LedgerSource, now: Callable[[], float], action: str, actor: str, act: Callable[[], ActionOutcome]
) -> Effect:
    """Call `act` between two ledgers (about 25 ms each) and return its effect; its errors pass through."""
    before = ledger_source.build()
    rss_before = rss_bytes()
    began = time.perf_counter()
    outcome = act()
    seconds = time.perf_counter() - began
    rss_after = rss_bytes()
    after = ledger_source.build()
    return Effect(
        action,
        actor,
        now(),
        seconds,
        rss_before,
        rss_after,
        before.owners,
        after.owners,
        outcome.found,
        outcome.uncollectable,
        outcome.detail,
    )
