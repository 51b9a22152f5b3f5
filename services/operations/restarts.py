"""A planned restart: who asked for it and why, when the next one is due, and how far the present one is.

A process that has served for long gives its memory back completely only by ending. Nobody is to notice: what ends is
said in `services.operations.drain`, who starts the next process in `Successor`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from services.core.access import SERVICE, Actor
from services.core.errors import ConflictError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.core.settings import Settings

log = structlog.get_logger(__name__)

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: whoever supervises the process starts it again
JITTER = 0.1  # share by which plans differ, so that several processes do not restart together
_HOUR = 3600.0


class RestartPhase(StrEnum):
    """How far a restart is."""

    RUNNING = "running"  # none is under way
    PREPARING = "preparing"  # asked for; the next process is being loaded, nobody notices anything
    DRAINING = "draining"  # work under way comes to its end, new long work is refused
    ENDING = "ending"  # no more connections are taken; they wait for the next process


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """A restart that was asked for; time in seconds since the epoch."""

    time: float
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """When a restart is due: after so many requests (0: never), at a time in seconds since the epoch (0: never)."""

    requests: int = 0
    at: float = 0.0

    @classmethod
    def of(cls, settings: Settings, now: float) -> RestartPlan:
        """Return the plan of a process that starts at `now`: what is configured, off by up to `JITTER` either way."""
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        requests = round(settings.restart_after_requests * spread)
        seconds = settings.restart_after_hours * _HOUR * spread
        return cls(max(1, requests) if settings.restart_after_requests else 0, now + seconds if seconds else 0.0)


@dataclass(frozen=True, slots=True)
class RestartState:
    """How things stand. `deadline` (seconds since the epoch) is when work that is still under way is broken off;
    `served` requests count towards the plan; `successor` names who starts the next process, "" nobody."""

    phase: RestartPhase
    requested: RestartRequest | None
    deadline: float | None
    plan: RestartPlan
    served: int
    successor: str


class Restarts:
    """Takes requests for a restart and keeps the plan; what drains the process listens. Thread-safe.

    Args:
        now: the time in seconds since the epoch.
        reporter: gets an event for each request.
        plan: when a restart is due by itself.
        served: how many requests there were since the start.
        successor: who starts the process again, in words; "" if nobody does: then no restart is taken on.
    """

    def __init__(
        self,
        now: Callable[[], float],
        reporter: EventSink,
        *,
        plan: RestartPlan | None = None,
        served: Callable[[], int] = lambda: 0,
        successor: Callable[[], str] = lambda: "",
    ) -> None:
        self._now = now
        self._reporter = reporter
        self._plan = plan or RestartPlan(at=0.0)
        self._served = served
        self._successor = successor
        self._lock = threading.Lock()
        self._listeners: list[Callable[[RestartRequest], None]] = []
        self._requested: RestartRequest | None = None
        self._phase = RestartPhase.RUNNING
        self._deadline: float | None = None
        self._planned_in_vain = False

    @property
    def requested(self) -> RestartRequest | None:
        """The restart that is under way, if any."""
        return self._requested

    @property
    def draining(self) -> bool:
        """Whether the process takes in no more long work because of a restart."""
        return self._phase in {RestartPhase.DRAINING, RestartPhase.ENDING}

    def state(self) -> RestartState:
        """Return how things stand."""
        with self._lock:
            return RestartState(
                self._phase, self._requested, self._deadline, self._plan, self._served(), self._successor()
            )

    def refusal(self) -> str:
        """Return why no restart would be taken on, "" if one would."""
        return "" if self._successor() else _("Nothing would start Millpond again.")

    def add_listener(self, listener: Callable[[RestartRequest], None]) -> None:
        """Have `listener` called once a restart is asked for."""
        self._listeners.append(listener)

    def request(self, actor: Actor, reason: str) -> RestartRequest:
        """Ask for a restart; the first request counts, later ones return it.

        Raises:
            ForbiddenError: `actor` may only look.
            ConflictError: nothing would start the process again.
        """
        actor.require_admin(_("Restart"))
        if refusal := self.refusal():
            raise ConflictError(
                refusal + " " + _("It goes on as it is."),
                _("Start it with millpond serve --supervise, or say MILLPOND_RESTARTED_BY=service."),
            )
        with self._lock:
            if self._requested is not None:
                return self._requested
            self._requested = request = RestartRequest(self._now(), actor.name, reason)
            self._phase = RestartPhase.PREPARING
        self._reporter.action(actor.name, EventKind.RESTART, reason)
        for listener in self._listeners:
            listener(request)
        return request

    def enter(self, phase: RestartPhase, deadline: float | None = None) -> None:
        """Note how far the restart is; whoever drains the process says so."""
        with self._lock:
            self._phase, self._deadline = phase, deadline
        log.info("restart", phase=phase.value)

    def look(self) -> None:
        """Ask for the planned restart when it is due; called now and then."""
        if self._requested is not None:
            return
        plan, served = self._plan, self._served()
        if plan.requests and served >= plan.requests:
            reason = plural("planned after {count} request", "planned after {count} requests", served)
        elif plan.at and self._now() >= plan.at:
            reason = _("planned by time")
        else:
            return
        if refusal := self.refusal():
            if not self._planned_in_vain:
                self._planned_in_vain = True
                self._reporter.event(EventKind.RESTART, f"{reason}: {refusal}")
            return
        self.request(SERVICE, reason)
