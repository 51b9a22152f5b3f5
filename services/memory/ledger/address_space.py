"""The address space by purpose: every resident byte lies in one part of one area.

Anonymous mappings are divided further: the kernel merges the zero-initialised data (.bss) of libraries and the stacks
of threads with whatever anonymous memory comes next.
"""

from __future__ import annotations

import re
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from services.core.machine import MEGABYTE
from services.memory.ledger.allocators import thread_stack
from services.memory.ledger.mmap_blocks import BlockFinder
from services.memory.ledger.smaps import PAGE, Bools, MemoryMapping, Residency

# glibc's HEAP_MAX_SIZE: arenas of threads begin at multiples of it.
ARENA_ALIGNMENT = 64 << 20
# Where mimalloc, which Arrow uses, requests its memory (MI_HINT_BASE, MI_HINT_MAX); the kernel puts nothing there.
_MIMALLOC = range(2 << 40, 30 << 40)
_HEAP_HEADER = 256  # heap_info, then the arena itself
# Anonymous memory beyond this is not examined page by page (4 GB), and not at all where so much is unused.
_MOST_PAGES = 1 << 20
_LARGEST_UNUSED = 1 << 30
_LIBRARY = re.compile(r"\.so(\.[\d.]+)?( \(deleted\))?$")
_DATABASE = re.compile(r"(-shm|-wal|\.db|\.sqlite3?)( \(deleted\))?$")
_PT_LOAD = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_MOST_SEGMENTS = 64
# glibc's guard is one page, those of other libraries are larger.
_LARGEST_GUARD = MEGABYTE
# The default stack size where no limit is set (ARCH_STACK_DEFAULT_SIZE on x86-64).
_UNLIMITED_STACK = 2 * MEGABYTE
Range = tuple[int, int]


class Area(Enum):
    """What a part of the address space is used for."""

    LIBRARIES = auto()
    RELOCATIONS = auto()
    KERNELS = auto()
    HEAP = auto()  # malloc's arenas
    BLOCKS = auto()  # malloc's blocks with a mapping of their own
    STACKS = auto()
    FOREIGN = auto()  # an allocator that a library brought along
    GPU = auto()
    DATABASE = auto()
    FILES = auto()
    ANONYMOUS = auto()  # pymalloc's arenas, and what is unknown


# Areas by the beginning of the name that the kernel gives a mapping.
_AREA_BY_NAME = {
    "[heap]": Area.HEAP,
    "[stack": Area.STACKS,
    "[v": Area.LIBRARIES,  # vdso, vvar, vsyscall
    "/dev/nvidia": Area.GPU,
    "/dev/dri/": Area.GPU,
    "/dev/kfd": Area.GPU,
}
Stretch = tuple[int, int, Area]


class MappedPart(NamedTuple):
    """A stretch of addresses in one area with its resident bytes."""

    start: int
    end: int
    area: Area
    rss: int
    path: str


class AreaClassifier:
    """Divides mappings into parts of one area each."""

    def __init__(self, mappings: Sequence[MemoryMapping], residency: Residency, blocks: BlockFinder) -> None:
        self._mappings = mappings
        self._residency = residency
        self._blocks = blocks
        self._stretches = _known_stretches(mappings)
        files = [mapping for mapping in mappings if mapping.path.startswith("/")]
        self._libraries = {file.path for file in files if "x" in file.permissions or _LIBRARY.search(file.path)}

    def classify(self) -> list[MappedPart]:
        """Return all parts in the order of their addresses; their resident bytes add up to those of the mappings."""
        found: list[MappedPart] = []
        run: list[MemoryMapping] = []
        following = [*self._mappings[1:], None]
        for mapping, after in zip(self._mappings, following, strict=True):
            area = self._area(mapping, after)
            if run and (area is not None or mapping.start != run[-1].end):
                found += self._divide_anonymous(run)
                run = []
            if area is None:
                run.append(mapping)
            elif area is Area.LIBRARIES and mapping.anonymous:
                clean = mapping.rss - mapping.anonymous
                found.append(MappedPart(mapping.start, mapping.end, Area.LIBRARIES, clean, mapping.path))
                found.append(MappedPart(mapping.start, mapping.end, Area.RELOCATIONS, mapping.anonymous, mapping.path))
            else:
                found.append(MappedPart(mapping.start, mapping.end, area, mapping.rss, mapping.path))
        return [*found, *self._divide_anonymous(run)] if run else found

    def _area(self, mapping: MemoryMapping, following: MemoryMapping | None) -> Area | None:
        """Return the area of a whole mapping, None for anonymous memory, which has to be divided."""
        path = mapping.path
        if path in self._libraries:
            return Area.LIBRARIES
        named = next((area for start, area in _AREA_BY_NAME.items() if path.startswith(start)), None)
        if named is not None:
            return named
        if path.startswith("/") or mapping.permissions.endswith("s"):
            return Area.DATABASE if _DATABASE.search(path) else Area.FILES
        return self._area_of_anonymous(mapping, following)

    def _area_of_anonymous(self, mapping: MemoryMapping, following: MemoryMapping | None) -> Area | None:
        if "x" in mapping.permissions:
            return Area.KERNELS
        if mapping.start in _MIMALLOC:
            return Area.FOREIGN
        if mapping.permissions != "rw-p" or (not mapping.rss and mapping.end - mapping.start > _LARGEST_UNUSED):
            return Area.ANONYMOUS
        return Area.HEAP if self._is_arena(mapping, following) else None

    def _is_arena(self, mapping: MemoryMapping, following: MemoryMapping | None) -> bool:
        """Whether this is an arena that malloc made for a thread.

        It begins at a multiple of 64 MB, is used or reserved up to the next multiple, and its first word is the address
        of the arena, which lies close behind such a multiple.
        """
        if mapping.start % ARENA_ALIGNMENT:
            return False
        limit = -(-mapping.end // ARENA_ALIGNMENT) * ARENA_ALIGNMENT
        reserved = (
            following is not None
            and following.permissions == "---p"
            and following.start == mapping.end
            and following.end >= limit
        )
        if mapping.end != limit and not reserved:
            return False
        words = self._residency.words(np.array([mapping.start], np.uint64), 1)
        return words is None or 0 < int(words[0, 0]) % ARENA_ALIGNMENT < _HEAP_HEADER

    def _divide_anonymous(self, run: Sequence[MemoryMapping]) -> Iterator[MappedPart]:
        """Divide adjacent anonymous mappings: a block of malloc may span several, where part of it uses huge pages."""
        start, end, rss = run[0].start, run[-1].end, sum(mapping.rss for mapping in run)
        known = [stretch for stretch in self._stretches if stretch[0] < end and stretch[1] > start]
        if not known and self._blocks.is_block(start, end):
            yield MappedPart(start, end, Area.BLOCKS, rss, "")
            return
        resident = self._residency.pages(start, end) if (end - start) // PAGE <= _MOST_PAGES else None
        parts: list[Stretch] = []
        position = start
        for first, last, area in [*known, (end, end, Area.ANONYMOUS)]:
            first, last = max(first, position), min(last, end)  # noqa: PLW2901 - cut to this mapping
            if first > position:
                blocks = self._blocks.blocks_within(position, first, start, resident) if resident is not None else []
                for begin, finish in [*blocks, (first, first)]:
                    if begin > position:
                        parts.append((position, begin, Area.ANONYMOUS))
                    if finish > begin:
                        parts.append((begin, finish, Area.BLOCKS))
                    position = finish
            if last > first:
                parts.append((first, last, area))
                position = last
        yield from _with_resident_bytes(rss, parts, resident)


def _with_resident_bytes(rss: int, parts: Sequence[Stretch], resident: Bools | None) -> Iterator[MappedPart]:
    """Yield parts with their share of `rss` bytes; `resident` says which pages from the first part on are resident."""
    if resident is None:
        weights = [float(end - start) for start, end, _area in parts]
    else:
        first = parts[0][0]
        weights = [float(resident[(a - first) // PAGE : -(-(b - first) // PAGE)].sum()) for a, b, _area in parts]
    total = sum(weights)
    left = rss
    for number, ((start, end, area), weight) in enumerate(zip(parts, weights, strict=True)):
        last = number == len(parts) - 1
        size = left if last else min(left, round(rss * weight / total) if total else 0)
        left -= size
        yield MappedPart(start, end, area, size, "")


def _known_stretches(mappings: Sequence[MemoryMapping]) -> list[Stretch]:
    """Return the stretches of anonymous memory that are .bss or stacks, ascending and without overlaps."""
    found: list[Stretch] = []
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
            for start, end in bss_ranges(before.path):
                limit = -(-(base + end) // PAGE) * PAGE
                if base + start <= mapping.start < limit:
                    found.append((mapping.start, limit, Area.RELOCATIONS))
    ranges = python_thread_stacks()
    known = {start for start, _end in ranges}
    ranges += [(start, end) for start, end in guarded_stacks(mappings) if not _covered(start, end, ranges, known)]
    found += [(start, end, Area.STACKS) for start, end in ranges]
    return _without_overlaps(sorted(found))


def _covered(start: int, end: int, ranges: Sequence[tuple[int, int]], known: set[int]) -> bool:
    return start in known or any(first < end and last > start for first, last in ranges)


def _without_overlaps(stretches: Sequence[Stretch]) -> list[Stretch]:
    kept: list[Stretch] = []
    for start, end, area in stretches:
        first = max(start, kept[-1][1]) if kept else start
        if end > first:
            kept.append((first, end, area))
    return kept


@lru_cache(maxsize=4096)
def bss_ranges(path: str) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of the .bss of an ELF file, relative to where it is loaded; empty for any other file.

    System V ABI, program headers: the part of a segment's memory size beyond its size in the file.
    """
    try:
        with Path(path).open("rb") as file:
            header = _HEADER.unpack(file.read(_HEADER.size))
            if header[0][:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian
                return ()
            file.seek(header[5])
            segments = [_SEGMENT.unpack(file.read(_SEGMENT.size)) for _ in range(min(header[10], _MOST_SEGMENTS))]
    except (OSError, struct.error):
        return ()
    loads = [segment for segment in segments if segment[0] == _PT_LOAD]
    base = min((address for _type, _flags, _offset, address, *_rest in loads), default=0) & -4096
    return tuple(
        (address + file_size - base, address + memory_size - base)
        for _type, _flags, _offset, address, _physical, file_size, memory_size, _align in loads
        if memory_size > file_size
    )


def python_thread_stacks() -> list[Range]:
    """Return the exact (start, end) of the stacks of Python's threads except the main one, where glibc reports them."""
    if sys.platform != "linux":
        return []
    # Under this lock no thread can end: it has to leave the list first, while it is still alive.
    with threading._active_limbo_lock:  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
        stacks = [
            thread_stack(thread.ident)
            for thread in threading._active.values()  # type: ignore[attr-defined] # noqa: SLF001 - see above
            # Threads that Python did not start may have ended unnoticed.
            if thread.ident is not None
            and thread is not threading.main_thread()
            and type(thread) is not threading._DummyThread  # noqa: SLF001 - see above
        ]
    return [stack for stack in stacks if stack is not None]


def guarded_stacks(mappings: Sequence[MemoryMapping]) -> list[Range]:
    """Return (start, end) of likely thread stacks: anonymous memory right after an inaccessible guard.

    Before Linux 6.7 the kernel merges a stack with what lies above it: it is cut at the default stack size.
    """
    longest = _default_stack_bytes()
    return [
        (mapping.start, min(mapping.end, mapping.start + longest))
        for guard, mapping in pairwise(mappings)
        if mapping.permissions == "rw-p"
        and not mapping.path
        and guard.permissions == "---p"
        and not guard.path
        and guard.end == mapping.start
        and guard.end - guard.start <= _LARGEST_GUARD
    ]


def _default_stack_bytes() -> int:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return _UNLIMITED_STACK if limit in {resource.RLIM_INFINITY, -1} else max(limit, _UNLIMITED_STACK)
