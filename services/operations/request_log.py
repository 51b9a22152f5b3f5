"""The requests of late: how long each took, and the memory before and after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# Walking the C allocator's free lists (mallinfo2) usually takes some 20 to 50 microseconds, but 10 ms when they hold
# 100,000 pieces. Then it is read so rarely that it costs 0.1 % of a core.
_CHEAP_SECONDS = 0.001
_REST = 1000.0


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the API, a run of a page (method "PAGE") or an answer that a page asked for ("ANSWER").

    Bytes before and after are the process's; heap is what its C allocator has handed out, None where that was not
    read. Only where no other request overlapped (`alone`) is the difference this one's own.
    """

    time: float  # seconds since the epoch, at its beginning
    method: str
    route: str
    status: int
    seconds: float
    rss_before: int
    rss_after: int
    heap_before: int | None
    heap_after: int | None
    alone: bool
    id: str = ""


@dataclass(slots=True)
class OpenRequest:
    """A request on its way."""

    started: float
    number: int
    busy: int
    rss: int
    heap: int | None


class RecentRequests:
    """Keeps the last `limit` requests that did work, and counts all of them. Thread-safe, bounded.

    What counts as work: calls of the API (`/api`, `/v1`), full runs of pages, and answers that pages asked for. Static
    files, probes, scrapes and the heartbeats of live parts of pages, which no person causes, do not count.
    """

    def __init__(
        self,
        rss_bytes: Callable[[], int],
        heap_bytes: Callable[[], int | None],
        now: Callable[[], float] = time.time,
        limit: int = 500,
    ) -> None:
        self._rss = rss_bytes
        self._heap = heap_bytes
        self._now = now
        # Reentrant: the garbage collector may end a dropped page run or answer at any moment.
        self._lock = threading.RLock()
        self._kept: deque[Request] = deque(maxlen=limit)
        self._begun = 0
        self._busy = 0
        self._total = 0
        self._heap_after = 0.0

    @property
    def total(self) -> int:
        """How many requests that did work there were since the start."""
        return self._total

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return self._busy

    def begin(self) -> OpenRequest:
        """Look at the memory at the beginning of a request; `end` or `drop` must follow."""
        rss, heap = self._rss(), self._read_heap()
        with self._lock:
            self._begun += 1
            self._busy += 1
            return OpenRequest(time.perf_counter(), self._begun, self._busy, rss, heap)

    def end(self, begun: OpenRequest, method: str, route: str, status: int, id: str = "") -> Request:  # noqa: A002 - the field's name
        """Note a request that did work."""
        seconds = time.perf_counter() - begun.started
        rss, heap = self._rss(), self._read_heap()
        with self._lock:
            self._busy -= 1
            self._total += 1
            request = Request(
                time=self._now() - seconds,
                method=method,
                route=route,
                status=status,
                seconds=seconds,
                rss_before=begun.rss,
                rss_after=rss,
                heap_before=begun.heap,
                heap_after=heap,
                alone=begun.busy == 1 and begun.number == self._begun,
                id=id,
            )
            self._kept.append(request)
        return request

    def drop(self, begun: OpenRequest) -> None:  # noqa: ARG002 - one way to end what `begin` returned
        """Forget a request that did no work after all."""
        with self._lock:
            self._busy -= 1

    @contextmanager
    def during(self, method: str, route: str, log_as: str = "") -> Iterator[OpenRequest]:
        """Note what happens inside as a request, with a log line named `log_as` if given."""
        begun = self.begin()
        status = 500
        try:
            yield begun
            status = 200
        except Exception:
            raise
        except BaseException:  # control flow of the pages: a rerun or a stop is no failure
            status = 200
            raise
        finally:
            request = self.end(begun, method, route, status)
            if log_as:
                log.info(log_as, route=route, **figures(request))

    def latest(self, limit: int = 500) -> list[Request]:
        """Return the newest `limit` requests, the newest first."""
        with self._lock:
            kept = list(self._kept)
        return kept[::-1][:limit]

    def _read_heap(self) -> int | None:
        started = time.perf_counter()
        if started < self._heap_after:
            return None
        heap = self._heap()
        took = time.perf_counter() - started
        self._heap_after = started + took * _REST if took > _CHEAP_SECONDS else 0.0
        return heap


def figures(request: Request) -> dict[str, float]:
    """Return what a log line says of a request's cost: milliseconds, and megabytes before and after."""
    megabytes = {
        "rss_before_mb": request.rss_before,
        "rss_after_mb": request.rss_after,
        "heap_before_mb": request.heap_before,
        "heap_after_mb": request.heap_after,
    }
    return {"ms": round(request.seconds * 1000, 1)} | {
        name: round(value / 1048576, 2) for name, value in megabytes.items() if value is not None
    }
