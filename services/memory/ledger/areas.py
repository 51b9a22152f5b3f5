"""The mappings by what they are for: every resident byte lies in one piece of one area."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from services.memory.ledger import elf, stacks
from services.memory.ledger.blocks import BlockFinder
from services.memory.ledger.maps import Mapping
from services.memory.ledger.residency import PAGE, Bools, Residency

# glibc's HEAP_MAX_SIZE: arenas of threads begin at multiples of it.
HEAP = 64 << 20
_HEAP_HEADER = 256  # heap_info, then the arena itself
# An anonymous mapping beyond this is not looked at page by page (16 GB).
_MOST_PAGES = 1 << 22
_LIBRARY = re.compile(r"\.so(\.[\d.]+)?( \(deleted\))?$")
_DATABASE = re.compile(r"(-shm|-wal|\.db|\.sqlite3?)( \(deleted\))?$")


class Area(Enum):
    """What a piece of the address space is for."""

    LIBRARIES = auto()
    RELOCATIONS = auto()
    KERNELS = auto()
    HEAP = auto()  # malloc's arenas
    BLOCKS = auto()  # malloc's blocks with a mapping of their own
    STACKS = auto()
    GPU = auto()
    DATABASE = auto()
    FILES = auto()
    ANONYMOUS = auto()  # Python's arenas, and what nobody knows


# How the kernel names mappings that are of one kind.
_NAMES = {
    "[heap]": Area.HEAP,
    "[stack": Area.STACKS,
    "[v": Area.LIBRARIES,  # vdso, vvar, vsyscall
    "/dev/nvidia": Area.GPU,
    "/dev/dri/": Area.GPU,
    "/dev/kfd": Area.GPU,
}

Cut = tuple[int, int, Area]


class Piece(NamedTuple):
    """A stretch of addresses in one area with its resident bytes."""

    start: int
    end: int
    area: Area
    rss: int
    path: str


class Sorter:
    """Sorts mappings into pieces."""

    def __init__(self, mappings: Sequence[Mapping], residency: Residency, blocks: BlockFinder) -> None:
        self._mappings = mappings
        self._residency = residency
        self._blocks = blocks
        self._cuts = _cuts(mappings)
        files = [mapping for mapping in mappings if mapping.path.startswith("/")]
        self._libraries = {file.path for file in files if "x" in file.permissions or _LIBRARY.search(file.path)}

    def pieces(self) -> list[Piece]:
        """Return all pieces in the order of their addresses; their resident bytes add up to those of the mappings."""
        following = [*self._mappings[1:], None]
        return [piece for pair in zip(self._mappings, following, strict=True) for piece in self._of_mapping(*pair)]

    def _of_mapping(self, mapping: Mapping, following: Mapping | None) -> Iterator[Piece]:
        path, rss = mapping.path, mapping.rss
        if path in self._libraries:
            yield Piece(mapping.start, mapping.end, Area.LIBRARIES, rss - mapping.anonymous, path)
            yield Piece(mapping.start, mapping.end, Area.RELOCATIONS, mapping.anonymous, path)
        elif area := _area(mapping):
            yield Piece(mapping.start, mapping.end, area, rss, path)
        elif self._is_arena(mapping, following):
            yield Piece(mapping.start, mapping.end, Area.HEAP, rss, path)
        else:
            cuts = [cut for cut in self._cuts if cut[0] < mapping.end and cut[1] > mapping.start]
            yield from self._of_anonymous(mapping, cuts)

    def _is_arena(self, mapping: Mapping, following: Mapping | None) -> bool:
        """Whether this is an arena that malloc made for a thread: at a multiple of 64 MB, up to the next multiple
        either used or reserved, and it begins with the address of the arena, close behind such a multiple."""
        if mapping.start % HEAP:
            return False
        limit = -(-mapping.end // HEAP) * HEAP
        reserved = (
            following is not None
            and following.permissions == "---p"
            and following.start == mapping.end
            and following.end >= limit
        )
        if mapping.end != limit and not reserved:
            return False
        words = self._residency.words(np.array([mapping.start], np.uint64), 1)
        return words is None or 0 < int(words[0, 0]) % HEAP < _HEAP_HEADER

    def _of_anonymous(self, mapping: Mapping, cuts: Sequence[Cut]) -> Iterator[Piece]:
        start, end = mapping.start, mapping.end
        if not cuts and self._blocks.is_one(start, end):
            yield Piece(start, end, Area.BLOCKS, mapping.rss, "")
            return
        resident = self._residency.pages(start, end) if (end - start) // PAGE <= _MOST_PAGES else None
        parts: list[Cut] = []
        position = start
        for first, last, area in [*cuts, (end, end, Area.ANONYMOUS)]:
            first, last = max(first, position), min(last, end)  # noqa: PLW2901 - cut to this mapping
            if first > position:
                taken = self._blocks.within(position, first, start, resident) if resident is not None else []
                for begin, finish in [*taken, (first, first)]:
                    if begin > position:
                        parts.append((position, begin, Area.ANONYMOUS))
                    if finish > begin:
                        parts.append((begin, finish, Area.BLOCKS))
                    position = finish
            if last > first:
                parts.append((first, last, area))
                position = last
        yield from _weighed(mapping, parts, resident)


def _area(mapping: Mapping) -> Area | None:
    """Return what a mapping is for as a whole, None where that takes a closer look."""
    path = mapping.path
    for start, area in _NAMES.items():
        if path.startswith(start):
            return area
    if path.startswith("/") or mapping.permissions.endswith("s"):
        return Area.DATABASE if _DATABASE.search(path) else Area.FILES
    if "x" in mapping.permissions:
        return Area.KERNELS
    return None if mapping.rss else Area.ANONYMOUS


def _weighed(mapping: Mapping, parts: Sequence[Cut], resident: Bools | None) -> Iterator[Piece]:
    """Give each part its share of the mapping's resident bytes."""
    if resident is None:
        weights = [float(end - start) for start, end, _area in parts]
    else:
        first = mapping.start
        weights = [float(resident[(a - first) // PAGE : -(-(b - first) // PAGE)].sum()) for a, b, _area in parts]
    total = sum(weights)
    left = mapping.rss
    for number, ((start, end, area), weight) in enumerate(zip(parts, weights, strict=True)):
        rss = left if number == len(parts) - 1 else min(left, round(mapping.rss * weight / total) if total else 0)
        left -= rss
        yield Piece(start, end, area, rss, "")


def _cuts(mappings: Sequence[Mapping]) -> list[Cut]:
    """Return the stretches of anonymous mappings that are .bss or stacks, ascending and apart from each other."""
    found: list[Cut] = []
    base, path = 0, ""
    for before, mapping in pairwise(mappings):
        if before.path != path:
            base, path = before.start, before.path
        if (
            not mapping.path
            and before.path.startswith("/")
            and before.end == mapping.start
            and "w" in before.permissions
        ):
            for start, end in elf.zero_initialised(before.path):
                limit = -(-(base + end) // PAGE) * PAGE
                if base + start <= mapping.start < limit:
                    found.append((mapping.start, limit, Area.RELOCATIONS))
    ranges = stacks.of_python_threads()
    known = {start for start, _end in ranges}
    ranges += [(start, end) for start, end in stacks.behind_guards(mappings) if not _covered(start, end, ranges, known)]
    found += [(start, end, Area.STACKS) for start, end in ranges]
    return _apart(sorted(found))


def _covered(start: int, end: int, ranges: Sequence[tuple[int, int]], known: set[int]) -> bool:
    return start in known or any(first < end and last > start for first, last in ranges)


def _apart(cuts: Sequence[Cut]) -> list[Cut]:
    kept: list[Cut] = []
    for start, end, area in cuts:
        first = max(start, kept[-1][1]) if kept else start
        if end > first:
            kept.append((first, end, area))
    return kept
