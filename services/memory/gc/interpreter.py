"""The collector's settings of this very process: read, set, and put back as they were.

What may be set: refuses what Python would misunderstand, and what would bring the process to a standstill.

One collection on demand: what it found, what it could not free, how long everything stood still.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from dataclasses import dataclass

from services.core.errors import BadInputError
from services.core.i18n import _
from services.memory.gc.explain import Thresholds
from services.memory.gc.types import GCSettings
from services.memory.sampling.gc_pauses import PauseRecorder

# Counting tracked objects copies the collector's lists: 20 ms for a million.
_COUNT_SECONDS = 15.0
GENERATIONS = 3
# Below this the collector would run at nearly every allocation; above it, it would never run.
MIN_THRESHOLD0, MAX_THRESHOLD0 = 50, 10_000_000
MAX_RUNS = 10_000
MIN_TRIAL_SECONDS, MAX_TRIAL_SECONDS = 1.0, 86_400.0
# A collection while another one runs would return at once and find nothing. Reentrant: what it ends may ask for one.
_collecting = threading.RLock()


def current_thresholds() -> Thresholds:
    """Return the thresholds that are in use."""
    first, second, third = gc.get_threshold()
    return first, second, third


class InterpreterGC:
    """Sets `gc`, and knows how it was before the first change. Whoever calls it holds a lock."""

    def __init__(self) -> None:
        self._found: tuple[Thresholds, bool] | None = None
        self._froze = False
        self._tracked = 0
        self._counted = float("-inf")

    def use(self, settings: GCSettings) -> None:
        """Set thresholds, and switch on or off."""
        if self._found is None:
            self._found = current_thresholds(), gc.isenabled()
        gc.set_threshold(*settings.thresholds)
        (gc.enable if settings.automatic else gc.disable)()

    def freeze(self) -> int:
        """Hide all present objects; returns how many more are hidden now."""
        before = gc.get_freeze_count()
        gc.freeze()
        self._froze = True
        self._counted = float("-inf")
        return gc.get_freeze_count() - before

    def unfreeze(self) -> int:
        """Show all objects again; returns how many were hidden."""
        before = gc.get_freeze_count()
        gc.unfreeze()
        self._froze = False
        self._counted = float("-inf")
        return before

    def tracked(self, *, count: bool = True) -> int:
        """Return how many objects the collector can see; at most 15 seconds old, unless nothing is to be counted."""
        now = time.monotonic()
        if count and now - self._counted > _COUNT_SECONDS:
            self._counted = now
            self._tracked = len(gc.get_objects())
        return self._tracked

    def restore(self) -> None:
        """Put everything back as it was before the first change."""
        if self._froze:
            self.unfreeze()
        if self._found is not None:
            found, enabled = self._found
            gc.set_threshold(*found)
            (gc.enable if enabled else gc.disable)()
            self._found = None


def validate_settings(settings: GCSettings) -> None:
    """Let usable settings pass.

    Raises:
        BadInputError: a threshold is no whole number, negative, or out of all proportion.
    """
    thresholds = settings.thresholds
    if len(thresholds) != GENERATIONS or any(type(each) is not int for each in thresholds):
        raise BadInputError(
            _("Thresholds are three whole numbers; nothing was changed."), _("For example {x}.").format(x="700, 10, 10")
        )
    first, *runs = thresholds
    if first != 0 and not MIN_THRESHOLD0 <= first <= MAX_THRESHOLD0:
        raise BadInputError(
            _("A threshold 0 of {value} cannot be used; nothing was changed.").format(value=first),
            _("Give 0, which switches the collector off, or {low} to {high}.").format(
                low=MIN_THRESHOLD0, high=MAX_THRESHOLD0
            ),
        )
    for number, value in enumerate(runs, start=1):
        if not 0 <= value <= MAX_RUNS:
            raise BadInputError(
                _("A threshold {number} of {value} cannot be used; nothing was changed.").format(
                    number=number, value=value
                ),
                _("Give 0 to {high}.").format(high=MAX_RUNS),
            )


def validate_trial_seconds(seconds: float) -> None:
    """Let a usable length of a trial pass.

    Raises:
        BadInputError: it is too short, too long or no number.
    """
    if not (math.isfinite(seconds) and MIN_TRIAL_SECONDS <= seconds <= MAX_TRIAL_SECONDS):
        raise BadInputError(
            _("A trial of {seconds} seconds cannot be made; nothing was changed.").format(seconds=seconds),
            _("Give {low} to {high} seconds.").format(low=int(MIN_TRIAL_SECONDS), high=int(MAX_TRIAL_SECONDS)),
        )


def validate_generation(generation: int) -> None:
    """Let 0, 1 and 2 pass.

    Raises:
        BadInputError: there is no such generation.
    """
    if type(generation) is not int or not 0 <= generation < GENERATIONS:
        raise BadInputError(
            _("There is no generation {number}; nothing was collected.").format(number=str(generation)[:20]),
            _("Give 0, 1 or 2."),
        )


def parse_thresholds(values: object) -> Thresholds | None:
    """Return three whole numbers out of something that was stored, or None when it is something else."""
    if not isinstance(values, list | tuple) or len(values) != GENERATIONS:
        return None
    if any(type(each) is not int for each in values):
        return None
    return values[0], values[1], values[2]


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """What a collection brought: objects found and not collectable, `seconds` in which all threads stood still."""

    found: int
    uncollectable: int
    seconds: float


def collect(pauses: PauseRecorder, generation: int) -> CollectionResult:
    """Collect a generation and those below it, marked in the pauses as asked for."""
    with _collecting, pauses.asked():
        before = _uncollectable_count()
        began = time.perf_counter()
        found = gc.collect(generation)
        return CollectionResult(found, _uncollectable_count() - before, time.perf_counter() - began)


def _uncollectable_count() -> int:
    return sum(each["uncollectable"] for each in gc.get_stats())


def full_collection_count() -> int:
    """Return how many full collections this process has had, whoever began them."""
    return int(gc.get_stats()[-1]["collections"])
