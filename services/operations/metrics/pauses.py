"""The pauses of Python's garbage collector, as a histogram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class PauseTimes(Protocol):
    """What is needed of the recorder that sits in `gc.callbacks`.

    `bounds` are the upper bounds of its buckets in seconds, rising, without infinity.
    """

    @property
    def bounds(self) -> Sequence[float]: ...

    def pauses(self) -> Mapping[int, tuple[Sequence[int], float]]:
        """Return by generation: how many pauses fell into each bucket (the last one: above all bounds), and the sum
        of all pauses in seconds, both since the start."""


class Pauses(Collector):
    """Exposes a recorder's buckets as they are: nothing is timed a second time."""

    def __init__(self) -> None:
        self.source: PauseTimes | None = None

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
