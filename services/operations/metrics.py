"""Metrics of the process and their exposition: what is reported, what components hand over at a scrape, GC pauses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from services.core.errors import MillpondError
from services.core.events import Counter, Timer
from services.core.masking import mask
from services.operations.metric_names import EventMetrics

log = structlog.get_logger(__name__)

REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
PAGE_BOUNDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0)
Kind = Literal["gauge", "counter"]


# No `_created` series: all of them begin with the process, whose start time is exposed.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has no hints there


class Metrics:
    """Records what is reported, reads the rest from the components at a scrape, and renders the exposition.

    Thread-safe. The registry is our own, so that no library adds to it.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._moment: Callable[[], AbstractContextManager[None]] = nullcontext
        self._parts = PartCollector()
        self._pauses = PauseCollector()
        self.registry.register(self._parts)
        self.registry.register(self._pauses)
        self._reported = EventMetrics(self.registry)
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
        PlatformCollector(registry=self.registry)
        self._standard = StandardCollector()
        self.registry.register(self._standard)

    def observe(self, timer: Timer, seconds: float) -> None:
        """Record a duration in its histogram."""
        self._reported.observe(timer, seconds)

    def count(self, counter: Counter, amount: float = 1) -> None:
        """Raise a counter."""
        self._reported.count(counter, amount)

    def total(self, counter: Counter) -> float:
        """Return a counter's value since the start."""
        return self._reported.total(counter)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record a request in its histogram; `method` and `route` must come from bounded sets."""
        self._requests.labels(method, route, f"{status // 100}xx" if status else "none").observe(seconds)

    def observe_page_run(self, page: str, seconds: float) -> None:
        """Record the run of a page in its histogram."""
        self._page_runs.labels(page).observe(seconds)

    def add_part(self, part: str, families: Iterable[Family], read: ReadPart = tuple) -> None:
        """Ask `read` at each scrape for values of `families`; what fails there costs these values only.

        By default the families have no values until `connect_part`.
        """
        self._parts.add(part, families, read)

    def connect_part(self, part: str, read: ReadPart) -> None:
        """Ask `read` for the values of a part that was added before."""
        self._parts.connect(part, read)

    def set_pause_source(self, source: PauseHistogram) -> None:
        """Expose the garbage collector's pauses that `source` records."""
        self._pauses.source = source

    def set_sampled_source(self, source: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        """Have standard metrics tell what `source` returns by name and generation instead of reading it again."""
        self._standard.source = source

    def set_moment(self, moment: Callable[[], AbstractContextManager[None]]) -> None:
        """Render inside of what `moment` returns, so that all values of a scrape are of one moment."""
        self._moment = moment

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the form that the Accept header asks for."""
        encode, content_type = prometheus_client.exposition.choose_encoder(accept)
        with self._moment():
            return encode(self.registry), content_type


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: one name in the exposition. The name of a counter ends in `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A sample of a family; None or NaN: not known, then none is exposed. `labels` in the family's order."""

    family: Family
    value: float | None
    labels: tuple[str, ...] = ()


# Returns the values of a part of the process at a scrape. If it fails, the scrape goes on without them.
ReadPart = Callable[[], Iterable[MetricValue]]


_UNREAD = Family(
    "millpond_part_unread", "1 for a part whose values could not be read at this scrape because it failed.", ("part",)
)


class PartCollector(Collector):
    """Reads the values of every part at each scrape; if one fails, only its own are missing.

    Families are always exposed with their help, also while they have no value.
    """

    def __init__(self) -> None:
        self._parts: dict[str, tuple[tuple[Family, ...], ReadPart]] = {}
        self._failing: set[str] = set()

    def add(self, part: str, families: Iterable[Family], read: ReadPart) -> None:
        """Call `read` at each scrape for the values of `families`.

        Raises:
            ValueError: one of them is another part's already.
        """
        families = tuple(families)
        known = {family.name for family in self.families()}
        for family in families:
            if family.name in known:
                raise ValueError(f"{family.name} is exposed by another part")
        self._parts[part] = (families, read)

    def connect(self, part: str, read: ReadPart) -> None:
        """Ask `read` for the values of a part that was added before."""
        families, _read = self._parts[part]
        self._parts[part] = (families, read)

    def families(self) -> Iterator[Family]:
        """Return all families in the order in which they are exposed."""
        for families, _read in self._parts.values():
            yield from families
        yield _UNREAD

    def collect(self) -> Iterator[Metric]:
        """Return the values of all parts now."""
        unread = _metric(_UNREAD)
        for part, (families, read) in list(self._parts.items()):
            metrics = {family.name: _metric(family) for family in families}
            unread.add_metric([part], 0.0 if self._read(part, metrics, read) else 1.0)
            yield from metrics.values()
        yield unread

    def _read(self, part: str, metrics: dict[str, GaugeMetricFamily | CounterMetricFamily], read: ReadPart) -> bool:
        try:
            for reading in read():
                if reading.value is not None and not math.isnan(reading.value):
                    labels = [mask(label) for label in reading.labels]
                    metrics[reading.family.name].add_metric(labels, float(reading.value))
        except MillpondError:
            # Not there yet, or no longer: the values read so far are exposed.
            return True
        except Exception:
            # A scrape must never fail because one part did. Logged when it begins, not every 15 seconds.
            if part not in self._failing:
                self._failing.add(part)
                log.exception("metrics of a part could not be read", part=part)
            return False
        self._failing.discard(part)
        return True


def _metric(family: Family) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)


class PauseHistogram(Protocol):
    """The part of the recorder in `gc.callbacks` that is exposed.

    `bounds` are the upper bounds of its buckets in seconds, rising, without infinity.
    """

    @property
    def bounds(self) -> Sequence[float]: ...

    def pauses(self) -> Mapping[int, tuple[Sequence[int], float]]:
        """Return by generation: how many pauses fell into each bucket (the last one: above all bounds), and the sum
        of all pauses in seconds, both since the start."""


class PauseCollector(Collector):
    """Exposes the buckets of a recorder as they are; nothing is measured here."""

    def __init__(self) -> None:
        self.source: PauseHistogram | None = None

    def collect(self) -> Iterator[Metric]:
        """Return the histogram, empty while there is no recorder."""
        family = HistogramMetricFamily(
            "millpond_gc_pause_seconds",
            "How long a run of the garbage collector stopped all Python threads, by generation.",
            labels=["generation"],
        )
        source = self.source
        if source is not None:
            bounds = [*map(floatToGoString, source.bounds), "+Inf"]
            for generation, (counts, seconds) in sorted(source.pauses().items()):
                buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
                family.add_metric([str(generation)], buckets, seconds)
        yield family


class StandardCollector(Collector):
    """The client's own metrics of the process and of Python's collector: CPU time, descriptors, collections and so on.

    General dashboards rely on their names. What is sampled anyway is told as it was sampled.
    """

    def __init__(self) -> None:
        self.source: Callable[[], Mapping[tuple[str, str], float]] = dict
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return the client's families with the sampled values in place."""
        sampled = self.source()
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(value=sampled.get((sample.name, sample.labels.get("generation", "")), sample.value))
                for sample in metric.samples
            ]
            yield metric
