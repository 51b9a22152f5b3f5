"""The garbage collector of this interpreter: reads, validates, applies and restores its settings, and collects."""

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
from services.memory.tracked_objects import count_tracked

# Counting tracked objects takes 20 ms per million.
_COUNT_SECONDS = 15.0
GENERATIONS = 3
# Below the minimum the collector would run at nearly every allocation, above the maximum never.
MIN_THRESHOLD0, MAX_THRESHOLD0 = 50, 10_000_000
MAX_RUNS = 10_000
MIN_TRIAL_SECONDS, MAX_TRIAL_SECONDS = 1.0, 86_400.0
# A collection during another one returns at once and finds nothing. Reentrant: a finalizer may request one.
_collecting = threading.RLock()


def current_thresholds() -> Thresholds:
    """Return the present thresholds."""
    first, second, third = gc.get_threshold()
    return first, second, third


class InterpreterGC:
    """Applies settings to `gc` and restores those from before the first change. The caller holds a lock."""

    def __init__(self) -> None:
        self._original: tuple[Thresholds, bool] | None = None
        self._froze = False
        self._tracked = 0
        self._counted = float("-inf")

    def apply(self, settings: GCSettings) -> None:
        """Set the thresholds, and enable or disable the collector."""
        if self._original is None:
            self._original = current_thresholds(), gc.isenabled()
        gc.set_threshold(*settings.thresholds)
        (gc.enable if settings.automatic else gc.disable)()

    def freeze(self) -> int:
        """Hide all present objects from the collector; return how many were added to the hidden ones."""
        before = gc.get_freeze_count()
        gc.freeze()
        self._froze = True
        self._counted = float("-inf")
        return gc.get_freeze_count() - before

    def unfreeze(self) -> int:
        """Make all objects visible again; return how many were hidden."""
        before = gc.get_freeze_count()
        gc.unfreeze()
        self._froze = False
        self._counted = float("-inf")
        return before

    def tracked(self, *, count: bool = True) -> int:
        """Return the number of tracked objects, at most 15 seconds old; without `count`, that of the last count."""
        now = time.monotonic()
        if count and now - self._counted > _COUNT_SECONDS:
            self._counted = now
            self._tracked = count_tracked()
        return self._tracked

    def restore(self) -> None:
        """Restore the settings from before the first change."""
        if self._froze:
            self.unfreeze()
        if self._original is not None:
            original, enabled = self._original
            gc.set_threshold(*original)
            (gc.enable if enabled else gc.disable)()
            self._original = None


def validate_settings(settings: GCSettings) -> None:
    """Check settings.

    Raises:
        BadInputError: a threshold is not a whole number, or out of range.
    """
    thresholds = settings.thresholds
    if len(thresholds) != GENERATIONS or any(type(each) is not int for each in thresholds):
        raise BadInputError(
            _("Thresholds must be three whole numbers; nothing was changed."),
            _("For example {x}.").format(x="700, 10, 10"),
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
    """Check the length of a trial.

    Raises:
        BadInputError: it is too short, too long or not a number.
    """
    if not (math.isfinite(seconds) and MIN_TRIAL_SECONDS <= seconds <= MAX_TRIAL_SECONDS):
        raise BadInputError(
            _("A trial of {seconds} s is not possible; nothing was changed.").format(seconds=seconds),
            _("Enter {low} to {high} seconds.").format(low=int(MIN_TRIAL_SECONDS), high=int(MAX_TRIAL_SECONDS)),
        )


def validate_generation(generation: int) -> None:
    """Check that `generation` is 0, 1 or 2.

    Raises:
        BadInputError: there is no such generation.
    """
    if type(generation) is not int or not 0 <= generation < GENERATIONS:
        raise BadInputError(
            _("There is no generation {number}; nothing was collected.").format(number=str(generation)[:20]),
            _("Give 0, 1 or 2."),
        )


def parse_thresholds(values: object) -> Thresholds | None:
    """Return a stored value as thresholds, None where it is something else."""
    if not isinstance(values, list | tuple) or len(values) != GENERATIONS:
        return None
    if any(type(each) is not int for each in values):
        return None
    return values[0], values[1], values[2]


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """The result of a collection: counts of objects, and the `seconds` that all threads stopped."""

    found: int
    uncollectable: int
    seconds: float


def collect(pauses: PauseRecorder, generation: int) -> CollectionResult:
    """Collect a generation and the younger ones, recorded among the pauses as requested."""
    with _collecting, pauses.requested():
        before = _uncollectable_count()
        began = time.perf_counter()
        found = gc.collect(generation)
        return CollectionResult(found, _uncollectable_count() - before, time.perf_counter() - began)


def _uncollectable_count() -> int:
    return sum(each["uncollectable"] for each in gc.get_stats())


def full_collection_count() -> int:
    """Return the number of full collections in this process, automatic and requested ones."""
    return int(gc.get_stats()[-1]["collections"])
