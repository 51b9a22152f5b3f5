"""The progress and the report of a series of repetitions: which types and containers grow with each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.memory.objects.snapshots import Snapshot
from services.memory.objects.types import Amount, Census, LengthenedContainer, TypeCount

_MOST_ROWS = 50
_NO_OBJECTS = TypeCount(0, 0)


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


class SnapshotTaker(Protocol):
    """Takes and compares snapshots; `Inspector` is one."""

    def take_snapshot(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Take and store a snapshot."""

    def snapshot(self, name: str) -> Census:
        """Return the census of a snapshot."""

    def lengthened_containers(self, *names: str) -> tuple[LengthenedContainer, ...]:
        """Return the containers that were longer in each snapshot than in the one before."""

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]:
        """Return by type what was created between the first two and is still there in the third."""


def repeat_growth(taker: SnapshotTaker, names: Sequence[str], times: int) -> RepeatGrowth:
    """Return what grew; `names` are the snapshots at the start, after the warm-up, in the middle and at the end."""
    _start, warm, middle, end = names
    left = taker.survivors(warm, middle, end)
    censuses = (taker.snapshot(warm), taker.snapshot(middle), taker.snapshot(end))
    return RepeatGrowth(
        _growing_types(*censuses, left, times),
        _growing_containers(taker.lengthened_containers(warm, middle, end), times),
    )


def _growing_types(
    warm: Census, middle: Census, end: Census, left: dict[str, Amount], times: int
) -> tuple[TypeGrowth, ...]:
    found = []
    for name in end.types:
        counts = [census.types.get(name, _NO_OBJECTS) for census in (warm, middle, end)]
        first, second = _difference(counts[0], counts[1]), _difference(counts[1], counts[2])
        added = Amount(first.count + second.count, first.bytes + second.bytes)
        half = times // 2
        # In each half of the series, half of the repetitions must have left one object: less is a cache or chance.
        if first.count * 2 >= half and second.count * 2 >= times - half:
            found.append(
                TypeGrowth(
                    name,
                    added,
                    first,
                    second,
                    left.get(name, Amount()),
                    objects_per_repetition(first, second, half, times),
                )
            )
    # Exact multiples come first: the growth of other threads is seldom one.
    found.sort(key=lambda growth: (growth.each is None, growth.each != growth.added.count / times, -growth.added.bytes))
    return tuple(found[:_MOST_ROWS])


def objects_per_repetition(first: Amount, second: Amount, half: int, times: int) -> int | None:
    """Return how many objects each repetition leaves if both halves agree within 10 %, else None."""
    number = round((first.count + second.count) / times)
    if number < 1:
        return None
    for amount, repetitions in ((first, half), (second, times - half)):
        expected = number * repetitions
        if abs(amount.count - expected) > expected // 10:
            return None
    return number


def _growing_containers(found: Sequence[LengthenedContainer], times: int) -> tuple[ContainerGrowth, ...]:
    half = times // 2
    grown = []
    for entry in found:
        before, between, after = entry.lengths
        first, second = Amount(between - before), Amount(after - between)
        if first.count * 2 >= half and second.count * 2 >= times - half:
            grown.append(
                ContainerGrowth(
                    entry.name, entry.type, before, after, objects_per_repetition(first, second, half, times)
                )
            )
    return tuple(grown[:_MOST_ROWS])


def _difference(before: TypeCount, after: TypeCount) -> Amount:
    return Amount(after.count - before.count, after.bytes - before.bytes)
