"""What a series of repetitions tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.memory.objects.types import Amount


class Stage(StrEnum):
    """What a series is doing."""

    START = "start"
    LOOKING = "looking"
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
    """How far a series is. `waits`: a person does it, and is to mark each time now."""

    action: str
    stage: Stage
    done: int
    times: int
    by_hand: bool
    waits: bool
    began: float


@dataclass(frozen=True, slots=True)
class TypeGrowth:
    """A type of which every repetition leaves some.

    `first` and `second` are what was added in each half, `left` what was made in the first half and is still there at
    the end, `each` how many objects a repetition leaves if it is always the same number, else None.
    """

    type: str
    added: Amount
    first: Amount
    second: Amount
    left: Amount
    each: int | None


@dataclass(frozen=True, slots=True)
class ContainerGrowth:
    """A container that was longer in the middle, and still longer at the end."""

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
    """What came of a series.

    `blocks` (count), `heap` and `rss` (bytes) are the figures after each repetition, the first one before any.
    `longest_pause` is the longest collection, in seconds; `snapshots` are start, warmed up, middle and end.
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

    @property
    def grows(self) -> bool:
        """Whether repetitions leave objects behind."""
        return bool(self.types or self.containers)

    def per_repetition(self, figures: tuple[int, ...]) -> float | None:
        """Return the growth of a figure for each repetition, from first to last; None without any."""
        return (figures[-1] - figures[0]) / (len(figures) - 1) if len(figures) > 1 else None
