"""Numbers of records as text: `3-7 12` in place of six numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence


def written(numbers: Sequence[int], most: int) -> list[str]:
    """Return sorted numbers as ranges, in several texts of at most `most` characters each."""
    texts = [""]
    for first, last in _ranges(numbers):
        text = str(first) if first == last else f"{first}-{last}"
        if len(texts[-1]) + 1 + len(text) > most:
            texts.append("")
        texts[-1] = f"{texts[-1]} {text}".lstrip()
    return [text for text in texts if text]


class RecordRanges:
    """A set of numbers that takes little memory where they follow each other. `add` them in rising order."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, number: int) -> None:
        """Add a number greater than those before."""
        if self._ranges and self._ranges[-1][1] == number - 1:
            self._ranges[-1] = self._ranges[-1][0], number
        else:
            self._ranges.append((number, number))

    def outside(self, texts: Iterable[str]) -> list[tuple[int, int]]:
        """Return what of this set is in none of the ranges that `written` made; texts of other forms are ignored."""
        known = _joined(sorted(each for text in texts for each in _read(text)))
        starts = [first for first, _last in known]
        missing = []
        for first, last in self._ranges:
            at = first
            while at <= last:
                index = bisect_right(starts, at) - 1
                if index >= 0 and known[index][1] >= at:
                    at = known[index][1] + 1
                    continue
                end = min([last, *(starts[index + 1 : index + 2] and [starts[index + 1] - 1])])
                missing.append((at, end))
                at = end + 1
        return missing


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def _read(text: str) -> list[tuple[int, int]]:
    found = []
    for part in text.split():
        first, _dash, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.append((int(first), int(last or first)))
    return found


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined
