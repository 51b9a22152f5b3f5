"""Sums the collector's pauses up: how many, how long in all, how long the worst of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.memory.sampling.pauses import Pause


@dataclass(frozen=True, slots=True)
class PauseFigures:
    """The pauses from `begin` on: seconds since the epoch, durations in seconds; None where there was no pause.

    `begin` is later than what was asked for where older pauses are no longer known.
    """

    begin: float
    count: int
    total: float
    p95: float | None
    longest: float | None


def figures(recent: Sequence[Pause], begin: float, kept: int = 1000) -> PauseFigures:
    """Return the figures from `begin` on of `recent`, oldest first, of which at most `kept` are ever known."""
    if len(recent) >= kept:
        begin = max(begin, recent[0].time)
    lengths = sorted(pause.seconds for pause in recent if pause.time >= begin)
    if not lengths:
        return PauseFigures(begin, 0, 0.0, None, None)
    return PauseFigures(begin, len(lengths), sum(lengths), lengths[math.ceil(0.95 * len(lengths)) - 1], lengths[-1])


def longest(recent: Sequence[Pause], limit: int) -> list[Pause]:
    """Return the longest pauses, the longest first."""
    return sorted(recent, key=lambda pause: (-pause.seconds, pause.time))[:limit]
