"""Drain before a planned restart, so that users notice nothing: prepare the next process, wait for quiet, hand over.

The order decides what people see. While the next process is loaded beforehand, everything goes on. Then a moment
without long requests is waited for; only if none comes soon are new uploads and questions refused (503 with
Retry-After), so that those in progress can end. Only then are connections no longer accepted: they wait in the queue of
the listening socket, which the supervisor holds, and the next process answers them. Where nobody holds connections, a
front or service manager first sees for a while that this process is not ready, and everything is still taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.core.actor import SERVICE, person_name
from services.core.admission import Admission, Gate
from services.core.i18n import _
from services.operations.restarts import RestartPhase, RestartRequest, Restarts

log = structlog.get_logger(__name__)

BY = "restart"  # who closes the gates
PREPARE_SECONDS = 60.0  # for the next process to load; after that it goes on without
QUIET_SECONDS = 3.0  # a moment without long requests is waited for this long, with open gates
LEAVING_SECONDS = 1.5  # responses say "Connection: close" for this long, so that clients close theirs
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Successor:
    """Who starts the next process, and how this one ends; provided by the command line.

    Args:
        name: who it is, in words.
        holds_connections: whether connections wait for the next process; otherwise a service manager or a reverse proxy
            must see for a while that this process is not ready.
        prepare: load the next process beforehand, in up to so many seconds; returns whether it is loaded.
        stop_accepting: accept no more connections.
        end: end the process with `restarts.EXIT_CODE` after a clean close, whatever still runs.
    """

    name: str
    holds_connections: bool
    prepare: Callable[[float], bool]
    stop_accepting: Callable[[], None]
    end: Callable[[], None]


class Drain:
    """Drains the process in a thread of its own once a restart is asked for.

    Args:
        restarts: where the phase is kept.
        admission: whose gates are closed.
        successor: who starts the next process; called when the drain begins.
        long_work: how many answers and uploads are in progress.
        busy: how many requests of any kind are.
        affordable: whether there is memory for a second process beside this one.
        stop_background: ends work that the next process resumes anyway (ingestion).
        seconds: longest time that requests in progress get.
        proxy_seconds: how long a reverse proxy gets to see that this process is not ready.
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
        proxy_seconds: float = 5.0,
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
        self._proxy_seconds = proxy_seconds
        self._closed = threading.Event()

    def start(self, _request: RestartRequest) -> None:
        """Start draining; returns at once."""
        threading.Thread(target=self._run, name="restart-drain", daemon=True).start()

    def close(self) -> None:
        """Stop waiting: the process ends for another reason."""
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
        if not (
            successor.holds_connections and self._wait_until_idle(self._long_work, min(QUIET_SECONDS, self._seconds))
        ):
            if not successor.holds_connections:
                # Until a front has seen it work still comes here, and would be refused although other nodes take it.
                self._restarts.set_phase(RestartPhase.DRAINING, self._now() + self._seconds)
                self._closed.wait(min(self._proxy_seconds, self._seconds))
            self._close_gates(self._now() + max(0.0, deadline - time.monotonic()))
            self._wait_until_idle(self._long_work, deadline - time.monotonic())
        self._stop_background()
        successor.stop_accepting()
        # Browser tabs are still connected: their requests in this last moment are refused with a reason.
        self._close_gates(self._now() + max(0.0, deadline - time.monotonic()), RestartPhase.ENDING)
        self._wait_until_idle(lambda: self._long_work() + self._busy(), deadline - time.monotonic())

    def _wait_until_idle(self, count: Callable[[], int], seconds: float) -> bool:
        """Wait until `count` returns 0; return whether that happened within `seconds`."""
        end = time.monotonic() + seconds
        while count():
            if time.monotonic() >= end or self._closed.wait(_POLL_SECONDS):
                return False
        return True

    def _close_gates(self, deadline: float, phase: RestartPhase = RestartPhase.DRAINING) -> None:
        self._restarts.set_phase(phase, deadline)
        requested = self._restarts.state().requested
        by_person = requested is not None and requested.actor != SERVICE.name
        for gate in (Gate.UPLOADS, Gate.LONG_QUESTIONS, Gate.QUESTIONS):
            self._admission.close(
                gate,
                BY,
                _("Millpond is restarting; requests in progress are finished first."),
                _("Try again in a few seconds."),
                person=person_name(requested.actor) if requested is not None and by_person else "",
                since=requested.time if requested is not None else None,
            )
