"""The progress and the report of a series of repetitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.memory.objects.types import Amount


class RepeatStage(StrEnum):
    """What a series is doing now."""

    START = "start"
    SNAPSHOT = "looking"
    WARM_UP = "warm_up"
    REPEATING = "repeating"
    COMPARING = "comparing"


class RepeatState(StrEnum):
    """How a series ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RepeatProgress:
    """How far a series is. `waits`: it waits for a person to mark the next repetition."""

    action: str
    stage: RepeatStage
    done: int
    times: int
    by_hand: bool
    waits: bool
    began: float


@dataclass(frozen=True, slots=True)
class TypeGrowth:
    """A type of which repetitions leave objects behind.

    `first` and `second` are what was added in each half, `left` what was created in the first half and is still there
    at the end, `each` how many objects each repetition leaves if it is always the same number, else None.
    """

    type: str
    added: Amount
    first: Amount
    second: Amount
    left: Amount
    each: int | None


@dataclass(frozen=True, slots=True)
class ContainerGrowth:
    """A container that was longer in the middle than at the start, and longer still at the end."""

    name: str
    type: str
    before: int
    after: int
    each: int | None


@dataclass(frozen=True, slots=True)
class RepeatGrowth:
    """What grew in a series."""

    types: tuple[TypeGrowth, ...]
    containers: tuple[ContainerGrowth, ...]


@dataclass(frozen=True, slots=True)
class RepeatReport:
    """The outcome of a series.

    `blocks` (count), `heap` and `rss` (bytes) are the figures after each repetition, the first one before any.
    `longest_pause` is the longest collection, in seconds; `snapshots` are those at the start, after the warm-up, in the
    middle and at the end.
    """

    action: str
    time: float
    state: RepeatState
    error: str
    times: int
    done: int
    seconds: float
    longest_pause: float
    blocks: tuple[int, ...]
    heap: tuple[int, ...]
    rss: tuple[int, ...]
    snapshots: tuple[str, ...]
    types: tuple[TypeGrowth, ...]
    containers: tuple[ContainerGrowth, ...]

    def per_repetition(self, figures: tuple[int, ...]) -> float | None:
        """Return the mean growth of a figure per repetition; None without repetitions."""
        return (figures[-1] - figures[0]) / (len(figures) - 1) if len(figures) > 1 else None
