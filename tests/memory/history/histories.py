"""Histories that tests fill without waiting: the time is in the samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from services.memory.history.history import History
from services.memory.types import Sample, Series

# The beginning of an hour and of a day, UTC.
BEGAN = 1_800_057_600.0
HOUR, DAY = 3600.0, 86400.0


def fill(history: History, times: Iterable[float], *, flush: float = 600.0, **constant: float) -> None:
    """Add samples whose RSS is their time since BEGAN, and flush now and then."""
    flushed = None
    for time in times:
        history.add(Sample(float(time), values_at(time) | constant))
        if flushed is None or time - flushed >= flush:
            history.flush()
            flushed = time


def values_at(time: float) -> dict[str, float]:
    return {Series.RSS: 1e8 + (time - BEGAN), Series.THREADS: float(int(time) % 7)}


def seconds(start: float, length: float, step: float = 1.0) -> Iterable[float]:
    return (start + np.arange(0, length, step)).tolist()
