"""One collection on demand: what it found, what it could not free, how long everything stood still."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass

from services.memory.sampling.pauses import PauseRecorder

# A collection while another one runs would return at once and find nothing. Reentrant: what it ends may ask for one.
_one_at_a_time = threading.RLock()


@dataclass(frozen=True, slots=True)
class Yield:
    """What a collection brought: objects found and not collectable, `seconds` in which all threads stood still."""

    found: int
    uncollectable: int
    seconds: float


def collect(pauses: PauseRecorder, generation: int) -> Yield:
    """Collect a generation and those below it, marked in the pauses as asked for."""
    with _one_at_a_time, pauses.asked():
        before = _uncollectable()
        began = time.perf_counter()
        found = gc.collect(generation)
        return Yield(found, _uncollectable() - before, time.perf_counter() - began)


def _uncollectable() -> int:
    return sum(each["uncollectable"] for each in gc.get_stats())


def full_collections() -> int:
    """Return how many full collections this process has had, whoever began them."""
    return int(gc.get_stats()[-1]["collections"])
