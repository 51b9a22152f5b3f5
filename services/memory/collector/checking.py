"""What may be set: refuses what Python would misunderstand, and what would bring the process to a standstill."""

from __future__ import annotations

import math

from services.errors import BadInputError
from services.memory.collector.rules import Thresholds
from services.memory.collector.types import CollectorSettings
from services.texts import _

GENERATIONS = 3
# Below this the collector would run at nearly every allocation; above it, it would never run.
LOWEST, HIGHEST = 50, 10_000_000
MOST_RUNS = 10_000
SHORTEST_TRIAL, LONGEST_TRIAL = 1.0, 86_400.0


def check_settings(settings: CollectorSettings) -> None:
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
    if first != 0 and not LOWEST <= first <= HIGHEST:
        raise BadInputError(
            _("A threshold 0 of {value} cannot be used; nothing was changed.").format(value=first),
            _("Give 0, which switches the collector off, or {low} to {high}.").format(low=LOWEST, high=HIGHEST),
        )
    for number, value in enumerate(runs, start=1):
        if not 0 <= value <= MOST_RUNS:
            raise BadInputError(
                _("A threshold {number} of {value} cannot be used; nothing was changed.").format(
                    number=number, value=value
                ),
                _("Give 0 to {high}.").format(high=MOST_RUNS),
            )


def check_trial(seconds: float) -> None:
    """Let a usable length of a trial pass.

    Raises:
        BadInputError: it is too short, too long or no number.
    """
    if not (math.isfinite(seconds) and SHORTEST_TRIAL <= seconds <= LONGEST_TRIAL):
        raise BadInputError(
            _("A trial of {seconds} seconds cannot be made; nothing was changed.").format(seconds=seconds),
            _("Give {low} to {high} seconds.").format(low=int(SHORTEST_TRIAL), high=int(LONGEST_TRIAL)),
        )


def check_generation(generation: int) -> None:
    """Let 0, 1 and 2 pass.

    Raises:
        BadInputError: there is no such generation.
    """
    if type(generation) is not int or not 0 <= generation < GENERATIONS:
        raise BadInputError(
            _("There is no generation {number}; nothing was collected.").format(number=str(generation)[:20]),
            _("Give 0, 1 or 2."),
        )


def as_thresholds(values: object) -> Thresholds | None:
    """Return three whole numbers out of something that was stored, or None when it is something else."""
    if not isinstance(values, list | tuple) or len(values) != GENERATIONS:
        return None
    if any(type(each) is not int for each in values):
        return None
    return values[0], values[1], values[2]
