"""What the load explains: growth that goes with requests or sessions, and growth per request."""

from __future__ import annotations

import numpy as np

from services.memory.leaks.shape import block_of
from services.memory.leaks.statistics import Trend, trend
from services.memory.types import Floats

# Load that varies less than this (standard deviation over mean) explains nothing.
VARIES = 0.2
# Above this correlation with time nobody can tell the load's part from time's.
ALIKE = 0.85
ROSE = 0.25
FEWEST_REQUESTS = 30


def requests_of(served: Floats | None) -> Floats | None:
    """Return the requests served up to each block, None where they are not known or too few to say anything."""
    if served is None or served[-1] - served[0] < FEWEST_REQUESTS:
        return None
    requests: Floats = np.maximum.accumulate(served)
    return requests


def load_of(requests: Floats | None, sessions: Floats | None) -> Floats | None:
    """Return the load in each block: requests, or sessions where those do not vary; None where neither does."""
    loads = []
    if requests is not None:
        loads.append(np.diff(requests, prepend=2 * requests[0] - requests[1]))
    if sessions is not None:
        loads.append(sessions)
    for load in map(_smooth, loads):
        mean = float(load.sum()) / len(load)
        if mean > 0.0 and float((load - mean) @ (load - mean)) > (VARIES * mean) ** 2 * len(load):
            return load
    return None


def without_load(x: Floats, y: Floats, load: Floats) -> tuple[Floats, bool]:
    """Return `y` without what rises and falls with `load`, and whether time and load could not be told apart."""
    time, centred = x - x.mean(), load - load.mean()
    alike = float(time @ centred) / float(np.sqrt((time @ time) * (centred @ centred)))
    if alike > ALIKE:
        rise = float(load[-len(load) // 4 :].mean() - load[: len(load) // 4].mean())
        return y, rise > ROSE * float(load.mean())
    weights, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), time, centred]), y, rcond=None)
    return y - max(0.0, float(weights[2])) * centred, False


def per_request(y: Floats, served: Floats) -> Trend | None:
    """Return the growth of `y` per request with its interval; None with too few distinct counts."""
    distinct = np.flatnonzero(np.diff(served, prepend=-1.0) > 0)
    return trend(served[distinct], y[distinct]) if len(distinct) >= 8 else None


def by_requests(y: Floats, served: Floats) -> tuple[Floats, Floats]:
    """Return requests and minima of `y` in blocks of equally many requests."""
    step = float(served[-1] - served[0]) / len(served)
    begins = block_of(served, float(served[0]), step)
    return served[begins], np.minimum.reduceat(y, begins)


def _smooth(values: Floats) -> Floats:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.convolve(padded, np.ones(3) / 3, mode="valid")
