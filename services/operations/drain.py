"""Brings a process to its end such that nobody notices: the next one first, then quiet, then the change.

The order decides what people see. While the next process is loaded beforehand, everything goes on. Then a moment
without long work is waited for; only if none comes soon are new uploads and questions refused (503 with Retry-After),
so that those under way can end. Only then are connections no longer taken: they wait in the listening socket's queue,
which the supervisor holds, and the next process answers them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.core.admission import Admission, Gate
from services.core.i18n import _
from services.operations.restarts import RestartPhase, RestartRequest, Restarts

log = structlog.get_logger(__name__)

BY = "restart"  # who closes the doors
PREPARE_SECONDS = 60.0  # for the next process to load; then it is done without
QUIET_SECONDS = 3.0  # so long a moment without long work is waited for, with open doors
LEAVING_SECONDS = 0.4  # answers say "Connection: close" for so long, so that clients let go of their connections
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Successor:
    """Who starts the next process, and how this one ends; the shell provides it.

    Args:
        name: who it is, in words.
        holds_connections: whether connections wait for the next process; a service manager or a front must instead see
            for a while that this process is not ready.
        prepare: has the next process loaded beforehand; waits up to so many seconds; whether it is loaded.
        close_door: take no more connections.
        end: end the process with `restarts.EXIT_CODE` after a clean close, whatever still runs.
    """

    name: str
    holds_connections: bool
    prepare: Callable[[float], bool]
    close_door: Callable[[], None]
    end: Callable[[], None]


class Drain:
    """Drains the process in a thread of its own once a restart is asked for.

    Args:
        restarts: is told how far it is.
        admission: whose doors are closed.
        successor: who starts the next process; asked when it is time.
        long_work: how many answers and uploads are under way.
        busy: how many requests of any kind are.
        affordable: whether there is memory for a second process beside this one.
        stop_background: ends what goes on at the next start anyway (ingestion).
        seconds: most time that work under way gets.
        front_seconds: how long a front gets to see that this process is not ready.
    """

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        restarts: Restarts,
        admission: Admission,
        successor: Callable[[], Successor | None],
        long_work: Callable[[], int],
        busy: Callable[[], int],
        affordable: Callable[[], bool],
        stop_background: Callable[[], None],
        *,
        seconds: float,
        now: Callable[[], float] = time.time,
        front_seconds: float = 5.0,
    ) -> None:
        self._restarts = restarts
        self._admission = admission
        self._successor = successor
        self._long_work = long_work
        self._busy = busy
        self._affordable = affordable
        self._stop_background = stop_background
        self._seconds = seconds
        self._now = now
        self._front_seconds = front_seconds
        self._closed = threading.Event()

    def begin(self, _request: RestartRequest) -> None:
        """Start draining; returns at once."""
        threading.Thread(target=self._run, name="restart-drain", daemon=True).start()

    def close(self) -> None:
        """The process ends for another reason: wait for nothing any more."""
        self._closed.set()

    def _run(self) -> None:
        successor = self._successor()
        if successor is None:
            return
        try:
            self._drain(successor)
        except Exception:
            log.exception("draining failed; the process ends all the same")
        if not self._closed.is_set():
            successor.end()

    def _drain(self, successor: Successor) -> None:
        if successor.holds_connections:
            if self._affordable():
                successor.prepare(PREPARE_SECONDS)
            self._closed.wait(LEAVING_SECONDS)
        deadline = time.monotonic() + self._seconds
        if not (successor.holds_connections and self._quiet(self._long_work, min(QUIET_SECONDS, self._seconds))):
            self._refuse(self._now() + self._seconds)
            if not successor.holds_connections:
                self._closed.wait(min(self._front_seconds, self._seconds))
            self._quiet(self._long_work, deadline - time.monotonic())
        self._stop_background()
        successor.close_door()
        # Tabs are still connected: what they ask for in this last moment is refused with a reason.
        self._refuse(self._now() + max(0.0, deadline - time.monotonic()), RestartPhase.ENDING)
        self._quiet(lambda: self._long_work() + self._busy(), deadline - time.monotonic())

    def _quiet(self, count: Callable[[], int], seconds: float) -> bool:
        """Wait until nothing of it is under way; return whether that came within `seconds`."""
        end = time.monotonic() + seconds
        while count():
            if time.monotonic() >= end or self._closed.wait(_LOOK_SECONDS):
                return False
        return True

    def _refuse(self, deadline: float, phase: RestartPhase = RestartPhase.DRAINING) -> None:
        self._restarts.enter(phase, deadline)
        for door in (Gate.UPLOADS, Gate.LONG_QUESTIONS, Gate.QUESTIONS):
            self._admission.close(
                door,
                BY,
                _("Millpond is restarting; what is under way comes to its end first."),
                _("Try again in a few seconds."),
            )
