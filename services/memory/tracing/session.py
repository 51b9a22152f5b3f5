"""One stretch of tracing: the thread that takes snapshots now and then and ends it when its time is up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from services.errors import MillpondError
from services.memory.clock import Clock
from services.texts import _

log = structlog.get_logger(__name__)

_SNAPSHOTS = 12  # of one stretch, by itself
_SHORTEST_SECONDS = 60.0
_FIRST_SECONDS = 10.0  # what is loaded late because it is first used has come by then
_CLOSE_SECONDS = 10.0
_REAL_SECONDS = 2.0  # at least so long between two, however fast the clock runs


class Session:
    """Tracing from `began` until `until` with `frames` frames. `problem` says why the last snapshot failed."""

    def __init__(
        self,
        clock: Clock,
        frames: int,
        seconds: float,
        *,
        snapshot: Callable[[], None],
        ended: Callable[[Session], None],
    ) -> None:
        self.frames = frames
        self.began = clock.time()
        self.until = self.began + seconds
        self.pace = pace(seconds, clock.speed)
        self.problem = ""
        self._clock = clock
        self._snapshot = snapshot
        self._ended = ended
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-tracing", daemon=True)

    def start(self) -> None:
        """Begin to wait for the end."""
        self._thread.start()

    def close(self) -> None:
        """Stop waiting; safe to call twice, also from the session's own thread.

        A snapshot that is being taken is waited for, but not for long: its copy ends with this process at the latest.
        """
        self._stopping.set()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        clock = self._clock
        due = self.began + min(self.pace, max(_FIRST_SECONDS, _REAL_SECONDS * clock.speed))
        while not clock.wait(self._stopping, min(due, self.until) - clock.time()):
            last = clock.time() >= self.until
            if last or clock.time() >= due:
                self._take()
                due = clock.time() + self.pace
            if last:
                self._ended(self)
                return

    def _take(self) -> None:
        try:
            self._snapshot()
            self.problem = ""
        except MillpondError as error:
            self.problem = str(error)
        except Exception:
            # Whatever fails here must not keep tracing from ending.
            log.exception("automatic snapshot failed")
            self.problem = _("A defect; the log has the details.")


def pace(seconds: float, speed: float = 1.0) -> float:
    """Return the seconds between two automatic snapshots of a stretch of tracing."""
    return max(_SHORTEST_SECONDS, seconds / _SNAPSHOTS, _REAL_SECONDS * speed)
