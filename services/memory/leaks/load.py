"""What the load explains: growth that goes with requests or sessions, and growth per request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.memory.leaks.shape import block_of
from services.memory.leaks.statistics import Trend, trend
from services.memory.types import Floats

# Load that varies less than this (standard deviation over mean) explains nothing.
VARIES = 0.2
# Above this correlation with time nobody can tell the load's part from time's: counts of requests are noisy.
ALIKE = 0.6
ROSE = 0.2
FEWEST_REQUESTS = 30


def requests_of(served: Floats | None) -> Floats | None:
    """Return the requests served up to each block, None where they are not known or too few to say anything."""
    if served is None or served[-1] - served[0] < FEWEST_REQUESTS:
        return None
    requests: Floats = np.maximum.accumulate(served)
    return requests


def loads_of(requests: Floats | None, sessions: Floats | None) -> list[Floats]:
    """Return the loads in each block that are known and not constant: requests, sessions."""
    loads = []
    if requests is not None:
        loads.append(np.diff(requests, prepend=2 * requests[0] - requests[1]))
    if sessions is not None:
        loads.append(sessions)
    return [_smooth(load) for load in loads if load.max() > load.min()]


def rises_with_time(x: Floats, load: Floats) -> bool:
    """Whether a load rises so evenly that nobody can tell its part in the growth from time's."""
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    alike = float(time @ centred) / float(np.sqrt((time @ time) * (centred @ centred)))
    quarter = len(load) // 4
    rise = float(load[-quarter:].sum() - load[:quarter].sum()) / quarter
    return alike > ALIKE and rise > ROSE * float(load.sum()) / len(load)


def without_load(x: Floats, y: Floats, loads: Sequence[Floats]) -> Floats:
    """Return `y` without what rises and falls with the first load that varies; as it is where time goes with it."""
    load = next((load for load in loads if _varies(load)), None)
    if load is None:
        return y
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    if abs(float(time @ centred)) > ALIKE * float(np.sqrt((time @ time) * (centred @ centred))):
        return y
    weights, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), time, centred]), y, rcond=None)
    without: Floats = y - max(0.0, float(weights[2])) * centred
    return without


def _varies(load: Floats) -> bool:
    mean = float(load.sum()) / len(load)
    return float((load - mean) @ (load - mean)) > (VARIES * mean) ** 2 * len(load)


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
