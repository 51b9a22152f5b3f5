"""Recent requests: the duration of each, and the memory before and after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# Reading the C allocator's statistics (mallinfo2) usually takes 20 to 50 microseconds, but 10 ms with 100,000 free
# blocks. Then it is read so rarely that it costs 0.1 % of a core.
_CHEAP_SECONDS = 0.001
_PAUSE_FACTOR = 1000.0


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the API, a run of a page (method "PAGE") or an answer requested by a page ("ANSWER").

    Bytes before and after are the process's; heap is what its C allocator has in use, None where that was not
    read. The difference is this request's own only where no other one overlapped (`alone`).
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
    """A request in progress."""

    started: float
    number: int
    busy: int
    rss: int
    heap: int | None


class RecentRequests:
    """Keeps the last `limit` requests, and counts all of them. Thread-safe, bounded.

    Recorded are calls of the API (`/api`, `/v1`), full runs of pages, and answers that pages request; not static files,
    probes, scrapes and the periodic updates of open pages, which no person causes.
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
        # Reentrant: the garbage collector may finalize an abandoned page run or answer at any moment.
        self._lock = threading.RLock()
        self._kept: deque[Request] = deque(maxlen=limit)
        self._begun = 0
        self._busy = 0
        self._total = 0
        self._heap_after = 0.0

    @property
    def total(self) -> int:
        """How many requests were recorded since the start."""
        return self._total

    @property
    def busy(self) -> int:
        """How many requests are in progress."""
        return self._busy

    def begin(self) -> OpenRequest:
        """Read the memory at the beginning of a request; `end` or `discard` must follow."""
        rss, heap = self._rss(), self._read_heap()
        with self._lock:
            self._begun += 1
            self._busy += 1
            return OpenRequest(time.perf_counter(), self._begun, self._busy, rss, heap)

    def end(self, begun: OpenRequest, method: str, route: str, status: int, id: str = "") -> Request:  # noqa: A002 - the field's name
        """Record a request that has ended."""
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

    def discard(self, begun: OpenRequest) -> None:  # noqa: ARG002 - one way to end what `begin` returned
        """End a request that is not to be recorded after all."""
        with self._lock:
            self._busy -= 1

    @contextmanager
    def track(self, method: str, route: str, log_as: str = "") -> Iterator[OpenRequest]:
        """Record what happens inside as a request, with a log line named `log_as` if given."""
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
                log.info(log_as, route=route, **log_fields(request))

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
        self._heap_after = started + took * _PAUSE_FACTOR if took > _CHEAP_SECONDS else 0.0
        return heap


def log_fields(request: Request) -> dict[str, float]:
    """Return the fields of a log line on a request's cost: milliseconds, and megabytes before and after."""
    megabytes = {
        "rss_before_mb": request.rss_before,
        "rss_after_mb": request.rss_after,
        "heap_before_mb": request.heap_before,
        "heap_after_mb": request.heap_after,
    }
    return {"ms": round(request.seconds * 1000, 1)} | {
        name: round(value / 1048576, 2) for name, value in megabytes.items() if value is not None
    }
