"""Which types and containers grow with each repetition, judged from the snapshots of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.memory.objects.repeat_types import ContainerGrowth, Growth, TypeGrowth
from services.memory.objects.types import Amount, Census, Lengthened, TypeCount

_MOST = 50
_NOTHING = TypeCount(0, 0)


class _Looks(Protocol):
    def snapshot(self, name: str) -> Census: ...

    def lengthened(self, *names: str) -> tuple[Lengthened, ...]: ...

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]: ...


def growth_of(looks: _Looks, names: Sequence[str], times: int) -> Growth:
    """Return what grew; `names` are the snapshots at the start, warmed up, in the middle and at the end."""
    _start, warm, middle, end = names
    left = looks.survivors(warm, middle, end)
    censuses = (looks.snapshot(warm), looks.snapshot(middle), looks.snapshot(end))
    return Growth(_types(*censuses, left, times), _containers(looks.lengthened(warm, middle, end), times))


def _types(warm: Census, middle: Census, end: Census, left: dict[str, Amount], times: int) -> tuple[TypeGrowth, ...]:
    found = []
    for name in end.types:
        counts = [census.types.get(name, _NOTHING) for census in (warm, middle, end)]
        first, second = _difference(counts[0], counts[1]), _difference(counts[1], counts[2])
        added = Amount(first.count + second.count, first.bytes + second.bytes)
        half = times // 2
        # Half of the repetitions must have left one in each half of the series: less is a cache or chance.
        if first.count * 2 >= half and second.count * 2 >= times - half:
            found.append(
                TypeGrowth(name, added, first, second, left.get(name, Amount()), each(first, second, half, times))
            )
    # What each repetition leaves exactly comes first: other threads' growth is seldom a multiple.
    found.sort(key=lambda growth: (growth.each is None, growth.each != growth.added.count / times, -growth.added.bytes))
    return tuple(found[:_MOST])


def each(first: Amount, second: Amount, half: int, times: int) -> int | None:
    """Return how many objects every repetition leaves if both halves agree to within one in ten, else None."""
    number = round((first.count + second.count) / times)
    if number < 1:
        return None
    for amount, repetitions in ((first, half), (second, times - half)):
        expected = number * repetitions
        if abs(amount.count - expected) > expected // 10:
            return None
    return number


def _containers(found: Sequence[Lengthened], times: int) -> tuple[ContainerGrowth, ...]:
    half = times // 2
    grown = []
    for entry in found:
        before, between, after = entry.lengths
        first, second = Amount(between - before), Amount(after - between)
        if first.count * 2 >= half and second.count * 2 >= times - half:
            grown.append(ContainerGrowth(entry.name, entry.type, before, after, each(first, second, half, times)))
    return tuple(grown[:_MOST])


def _difference(before: TypeCount, after: TypeCount) -> Amount:
    return Amount(after.count - before.count, after.bytes - before.bytes)
