"""Planned restarts: who requested one and why, when the next one is due, and in which phase the present one is.

A process that has served for long returns its memory completely only by ending. `services.operations.drain` ends it;
`Successor` there is who starts the next one.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

import structlog

from services.core.actor import SERVICE, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.claims import ALONE, ClaimKind, Claims
from services.core.errors import ConflictError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, gap, plural
from services.core.settings import Settings

log = structlog.get_logger(__name__)

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: whoever supervises the process starts it again
JITTER = 0.1  # share by which plans vary, so that several processes do not restart together
_HOUR = 3600.0
_CLAIM = ClaimKind.RESTART


class RestartPhase(StrEnum):
    """Phases of a restart."""

    RUNNING = "running"  # no restart
    PREPARING = "preparing"  # requested; the next process is being loaded, nothing is refused
    DRAINING = "draining"  # requests in progress are finished, new long ones are refused
    ENDING = "ending"  # no more connections are accepted; they wait for the next process


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """A restart that was requested; time in seconds since the epoch."""

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
        """Return the plan of a process that starts at `now`: as configured, varied by up to `JITTER` either way."""
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        requests = round(settings.restart_after_requests * spread)
        seconds = settings.restart_after_hours * _HOUR * spread
        return cls(max(1, requests) if settings.restart_after_requests else 0, now + seconds if seconds else 0.0)


@dataclass(frozen=True, slots=True)
class RestartState:
    """State of restarts. At `deadline` (seconds since the epoch) requests still in progress are aborted; `served`
    requests count towards the plan; `successor` names who starts the next process, "" nobody."""

    phase: RestartPhase
    requested: RestartRequest | None
    deadline: float | None
    plan: RestartPlan
    served: int
    successor: str


class Restarts:
    """Accepts requests for a restart and checks the plan; the drain listens. Thread-safe.

    Args:
        now: the time in seconds since the epoch.
        reporter: records an event for each request.
        plan: when a restart is due by itself.
        served: how many requests there were since the start.
        successor: who starts the process again, in words; "" if nobody does: then requests are refused.
        claims: has one node of several at a time restart by plan.
        others_restart: the name of another node that ends or starts just now, "" for none: a plan waits for it.
    """

    def __init__(
        self,
        now: Callable[[], float],
        reporter: EventSink,
        *,
        plan: RestartPlan | None = None,
        served: Callable[[], int] = lambda: 0,
        successor: Callable[[], str] = lambda: "",
        claims: Claims = ALONE,
        others_restart: Callable[[], str] = lambda: "",
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
        self._plan_refused = False
        self._claims = claims
        self._others_restart = others_restart
        self._turn = ExitStack()  # the claim, which ends with the process
        self._waits_for = ""

    @property
    def requested(self) -> RestartRequest | None:
        """The restart in progress, if any."""
        return self._requested

    @property
    def draining(self) -> bool:
        """Whether the process refuses long requests because of a restart."""
        return self._phase in {RestartPhase.DRAINING, RestartPhase.ENDING}

    def state(self) -> RestartState:
        """Return phase, request, plan and successor."""
        with self._lock:
            return RestartState(
                self._phase, self._requested, self._deadline, self._plan, self._served(), self._successor()
            )

    def refusal(self) -> str:
        """Return why a restart would be refused, "" if it would not."""
        return "" if self._successor() else _("Nothing would start Millpond again.")

    def add_listener(self, listener: Callable[[RestartRequest], None]) -> None:
        """Call `listener` when a restart is requested."""
        self._listeners.append(listener)

    def request(self, actor: Actor, reason: str) -> RestartRequest:
        """Request a restart; the first request counts, later ones return it.

        Raises:
            ForbiddenError: `actor` is no administrator.
            ConflictError: nothing would start the process again.
        """
        actor.require(Permission.OPERATE, _("Restart"))
        if refusal := self.refusal():
            raise ConflictError(
                refusal + gap() + _("It was not stopped."),
                _("Start it with millpond serve --supervise, or set MILLPOND_RESTARTED_BY=service."),
            )
        with self._lock:
            if self._requested is not None:
                return self._requested
            self._requested = request = RestartRequest(self._now(), actor.name, reason)
            self._phase = RestartPhase.PREPARING
        self._reporter.action(actor.name, EventKind.RESTART, reason)
        self._reporter.audit(actor, Action.RESTART_REQUESTED, Target(TargetKind.PROCESS), detail=reason)
        for listener in self._listeners:
            listener(request)
        return request

    def set_phase(self, phase: RestartPhase, deadline: float | None = None) -> None:
        """Record the phase; the drain calls this."""
        with self._lock:
            self._phase, self._deadline = phase, deadline
        log.info("restart", phase=phase.value)

    def close(self) -> None:
        """Have other nodes restart by plan: this process ends. They wait as long as it is drained."""
        self._turn.close()

    def check(self) -> None:
        """Request the planned restart when it is due; to be called regularly."""
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
            if not self._plan_refused:
                self._plan_refused = True
                self._reporter.event(EventKind.RESTART, f"{reason}: {refusal}")
            return
        if self._has_turn(reason):
            self.request(SERVICE, reason)

    def _has_turn(self, reason: str) -> bool:
        """Return whether no other node restarts; this one has claimed it from then on."""
        try:
            node = self._others_restart() or self._claims.owner(_CLAIM)
            if not node:
                if self._turn.enter_context(self._claims.held(_CLAIM)):
                    return True
                node = self._claims.owner(_CLAIM)
        except UnavailableError as error:
            log.warning("a planned restart waits", reason=error.message)
            return False
        if node and node != self._waits_for:
            self._waits_for = node
            text = _("{reason}: waits until the node {node} has restarted").format(reason=reason, node=node)
            self._reporter.event(EventKind.RESTART, text)
        return False
