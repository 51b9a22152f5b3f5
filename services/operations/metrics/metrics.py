"""All metrics of the process, and their exposition."""

from __future__ import annotations

from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector

from services.operations.metrics.families import Family, Parts, ReadPart
from services.operations.metrics.pauses import Pauses, PauseTimes
from services.operations.metrics.reported import Reported
from services.reporting import Counted, Timing

REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
PAGE_BOUNDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0)

# When a series began is of no use here: all of them begin with the process, which has a start time of its own.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has no hints there


class Metrics:
    """Counts and times what is reported, reads the rest from the parts at a scrape, and renders the exposition.

    Thread-safe. The registry is our own, so that nothing else in the process slips something in.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._parts = Parts()
        self._pauses = Pauses()
        self.registry.register(self._parts)
        self.registry.register(self._pauses)
        self._reported = Reported(self.registry)
        self._requests = Histogram(
            "millpond_request_seconds",
            "From a request's arrival to the last byte of its answer, by route template and class of status.",
            ("method", "route", "status"),
            buckets=REQUEST_BOUNDS,
            registry=self.registry,
        )
        self._page_runs = Histogram(
            "millpond_page_run_seconds",
            "One full run of a page's script.",
            ("page",),
            buckets=PAGE_BOUNDS,
            registry=self.registry,
        )
        # The client's own: CPU time, descriptors and their limit, collections, the Python in use. They bear the names
        # that general dashboards ask for.
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def observe(self, timing: Timing, seconds: float) -> None:
        """Put a duration into its histogram."""
        self._reported.observe(timing, seconds)

    def count(self, counted: Counted, amount: float = 1) -> None:
        """Raise a counter."""
        self._reported.count(counted, amount)

    def total(self, counted: Counted) -> float:
        """Return what was counted since the start."""
        return self._reported.total(counted)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Put a request into its histogram; `method` and `route` must come from bounded sets."""
        self._requests.labels(method, route, f"{status // 100}xx" if status else "none").observe(seconds)

    def page_run(self, page: str, seconds: float) -> None:
        """Put a page's run into its histogram."""
        self._page_runs.labels(page).observe(seconds)

    def add_part(self, part: str, families: Iterable[Family], read: ReadPart) -> None:
        """Ask `read` at each scrape for values of `families`; what fails there costs these values only."""
        self._parts.add(part, families, read)

    def show_pauses(self, source: PauseTimes) -> None:
        """Expose the collector's pauses as `source` has recorded them."""
        self._pauses.source = source

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the form that the Accept header asks for."""
        encode, content_type = prometheus_client.exposition.choose_encoder(accept)
        return encode(self.registry), content_type
