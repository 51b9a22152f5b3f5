"""A planned restart: who asked for it and why, and whether the process is drained for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from services.access import Actor
from services.reporting import EventKind, Reporter
from services.texts import _

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: whoever supervises the process starts it again


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """A restart that was asked for; time in seconds since the epoch."""

    time: float
    actor: str
    reason: str


class Restarts:
    """Takes requests for a restart; the shell listens, drains and ends the process."""

    def __init__(self, now: Callable[[], float], reporter: Reporter) -> None:
        self._now = now
        self._reporter = reporter
        self._lock = threading.Lock()
        self._listeners: list[Callable[[RestartRequest], None]] = []
        self._requested: RestartRequest | None = None

    @property
    def requested(self) -> RestartRequest | None:
        """The restart that is under way, if any."""
        return self._requested

    def add_listener(self, listener: Callable[[RestartRequest], None]) -> None:
        """Have `listener` called once a restart is asked for."""
        self._listeners.append(listener)

    def request(self, actor: Actor, reason: str) -> RestartRequest:
        """Ask for a restart; the first request counts, later ones return it.

        Raises:
            ForbiddenError: `actor` may only look.
        """
        actor.require_admin(_("Restart"))
        with self._lock:
            if self._requested is not None:
                return self._requested
            self._requested = request = RestartRequest(self._now(), actor.name, reason)
        self._reporter.action(actor.name, EventKind.RESTART, reason)
        for listener in self._listeners:
            listener(request)
        return request
