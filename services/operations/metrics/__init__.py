"""Prometheus metrics by the official client: what is counted and timed here, what is read from the parts at a scrape.

Names follow https://prometheus.io/docs/practices/naming/: one prefix, base units, `_total` on counters. Label values
come from enums, route templates and settings alone, never from what a client sent.
"""

from services.operations.metrics.families import Family, Kind, Reading
from services.operations.metrics.metrics import Metrics
from services.operations.metrics.pauses import PauseTimes

__all__ = ["Family", "Kind", "Metrics", "PauseTimes", "Reading"]
