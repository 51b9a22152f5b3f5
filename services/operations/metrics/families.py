"""Families of metrics whose values are read at the scrape, and how a part hands them over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.errors import MillpondError

log = structlog.get_logger(__name__)

Kind = Literal["gauge", "counter"]


@dataclass(frozen=True, slots=True)
class Family:
    """One name in the exposition. The name of a counter ends in `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of a family now; None or NaN: not known, then there is no sample. `labels` in the family's order."""

    family: Family
    value: float | None
    labels: tuple[str, ...] = ()


# What a part of the process hands over at a scrape. It may fail: then the scrape goes on without its values.
ReadPart = Callable[[], Iterable[Reading]]

_UNREAD = Family(
    "millpond_part_unread", "1 for a part whose values could not be read at this scrape because it failed.", ("part",)
)


class Parts(Collector):
    """Asks every part for its values at each scrape; one that fails costs its own values only.

    Families are always named with their help, also while they have no value.
    """

    def __init__(self) -> None:
        self._parts: dict[str, tuple[tuple[Family, ...], ReadPart]] = {}
        self._failing: set[str] = set()

    def add(self, part: str, families: Iterable[Family], read: ReadPart) -> None:
        """Ask `read` at each scrape for values of `families`.

        Raises:
            ValueError: one of them is another part's already.
        """
        families = tuple(families)
        taken = {family.name for family in self.families()}
        for family in families:
            if family.name in taken:
                raise ValueError(f"{family.name} is exposed by another part")
        self._parts[part] = (families, read)

    def families(self) -> Iterator[Family]:
        """Return all families in the order in which they are exposed."""
        for families, _read in self._parts.values():
            yield from families
        yield _UNREAD

    def collect(self) -> Iterator[Metric]:
        """Return the values of all parts now."""
        unread = _metric(_UNREAD)
        for part, (families, read) in self._parts.items():
            metrics = {family.name: _metric(family) for family in families}
            unread.add_metric([part], 0.0 if self._read(part, metrics, read) else 1.0)
            yield from metrics.values()
        yield unread

    def _read(self, part: str, metrics: dict[str, GaugeMetricFamily | CounterMetricFamily], read: ReadPart) -> bool:
        try:
            for reading in read():
                if reading.value is not None and not math.isnan(reading.value):
                    metrics[reading.family.name].add_metric(reading.labels, float(reading.value))
        except MillpondError:
            # Not there yet, or not any more: what is known is told.
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
