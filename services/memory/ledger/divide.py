"""The arithmetic of the ledger: mapped parts, allocator figures and memory reports in, bytes by owner out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.core.memory_report import MemoryReport, Owner, Region
from services.memory.ledger.address_space import Area, MappedPart
from services.memory.ledger.allocators import MallocHeap, Pymalloc
from services.memory.ledger.smaps import PAGE, SMALL, Residency

# The owner of resident bytes that no report claims.
_OWNERS = {
    Area.LIBRARIES: Owner.LIBRARIES,
    Area.RELOCATIONS: Owner.RELOCATIONS,
    Area.KERNELS: Owner.KERNELS,
    Area.STACKS: Owner.STACKS,
    Area.GPU: Owner.GPU_HOST,
    Area.DATABASE: Owner.DATABASE,
    Area.FILES: Owner.FILES,
}


@dataclass
class AllocatorFigures:
    """What the allocators say; None for what the system does not tell.

    `heap_reserved` are the bytes of malloc's arenas found among the parts and `block_bytes` those of its own mappings,
    resident or not. `large_objects` returns how many of so many bytes of malloc are in unreported Python objects.
    """

    heap: MallocHeap | None
    heap_reserved: int
    block_bytes: int
    pymalloc: Pymalloc | None
    large_objects: Callable[[int], int]


@dataclass
class Division:
    """Bytes by owner, and how many bytes were reported beyond what is resident."""

    owners: dict[Owner, int] = field(default_factory=dict)
    overclaimed: int = 0

    def add(self, owner: Owner, size: int) -> None:
        """Add bytes to an owner."""
        self.owners[owner] = self.owners.get(owner, 0) + size

    def allot(self, budget: int, claims: Sequence[tuple[Owner, int]]) -> int:
        """Give each owner its claim out of `budget` bytes, in proportion where they exceed it; return what is left."""
        wanted = sum(size for _owner, size in claims)
        factor = min(1.0, budget / wanted) if wanted else 0.0
        for owner, size in claims:
            self.add(owner, allotted := int(size * factor))
            budget -= allotted
        self.overclaimed += max(0, wanted - int(wanted * factor)) if factor < 1 else 0
        return budget


def divide(
    parts: Sequence[MappedPart], reports: Iterable[MemoryReport], figures: AllocatorFigures, residency: Residency
) -> Division:
    """Divide the resident bytes of `parts` among owners; the remainder is unnamed."""
    result = Division()
    reports = [report for report in reports if report.region is not Region.ELSEWHERE and report.bytes >= 0]
    resident = [part.rss for part in parts]
    _attribute_ranges(result, parts, resident, reports, residency)
    _attribute_files(result, parts, resident, reports)
    left = dict.fromkeys(Area, 0)
    for part, size in zip(parts, resident, strict=True):
        left[part.area] += size
    for area, owner in _OWNERS.items():
        result.add(owner, left[area])
    _divide_allocators(result, parts, left, reports, figures)
    return result


def _attribute_ranges(
    result: Division,
    parts: Sequence[MappedPart],
    resident: list[int],
    reports: Iterable[MemoryReport],
    residency: Residency,
) -> None:
    """Move the resident bytes of each reported range from its part to the owner; the first report of a byte wins."""
    ranges = sorted(
        (address, address + length, order, report.owner)
        for order, report in enumerate(reports)
        for address, length in report.ranges
        if length > 0
    )
    starts = [part.start for part in parts]
    position = 0
    for start, end, _order, owner in ranges:
        begin = max(start, position)
        position = max(position, end)
        while begin < end:
            index = bisect_right(starts, begin) - 1
            # Of two parts with the same addresses (clean and changed pages of a file) this is the last.
            part = parts[index] if index >= 0 else None
            if part is None or begin >= part.end:
                following = starts[index + 1] if index + 1 < len(starts) else end
                begin = max(begin, following)
                continue
            finish = min(end, part.end)
            size = _resident_bytes(part, begin, finish, residency)
            for which in (index, index - 1):
                if which >= 0 and parts[which].start == part.start:
                    moved = min(size, resident[which])
                    resident[which] -= moved
                    size -= moved
                    result.add(owner, moved)
            begin = finish


def _resident_bytes(part: MappedPart, start: int, end: int, residency: Residency) -> int:
    if end - start < SMALL or part.rss >= part.end - part.start:
        return end - start
    pages = residency.pages(start, end) if residency.known else None
    if pages is None:
        return round((end - start) * part.rss / max(1, part.end - part.start))
    return min(end - start, int(pages.sum()) * PAGE)


def _attribute_files(
    result: Division, parts: Sequence[MappedPart], resident: list[int], reports: Iterable[MemoryReport]
) -> None:
    owners = {file: report.owner for report in reports for file, _size in report.files}
    for index, part in enumerate(parts):
        owner = owners.get(part.path) if part.path else None
        if owner is not None:
            result.add(owner, resident[index])
            resident[index] = 0


def _divide_allocators(
    result: Division,
    parts: Sequence[MappedPart],
    left: dict[Area, int],
    reports: Sequence[MemoryReport],
    figures: AllocatorFigures,
) -> None:
    """Divide the memory of malloc and pymalloc, and the anonymous memory beyond both."""
    heap, pymalloc = figures.heap, figures.pymalloc
    rest = left[Area.ANONYMOUS]
    # pymalloc's arenas are unmarked anonymous memory: their size is known, their addresses are not.
    python = min(rest, pymalloc.arenas) if pymalloc else 0
    rest -= python
    # malloc's memory outside the usual places: blocks that were not found, arenas that could not grow in place.
    # Where malloc has no figures, all the rest counts as malloc's.
    blocks = min(rest, max(0, heap.mapped - figures.block_bytes)) if heap else rest
    rest -= blocks
    strayed = min(rest, max(0, heap.arenas - figures.heap_reserved)) if heap else 0
    rest -= strayed
    rest = result.allot(
        rest + left[Area.FOREIGN], [(r.owner, r.estimated) for r in reports if r.region is Region.MAPPED]
    )
    free = min(rest, left[Area.FOREIGN])
    result.add(Owner.NATIVE_FREE, free)
    rest -= free

    small = [(r.owner, max(0, r.estimated - r.large)) for r in reports if r.region is Region.PYTHON]
    used = min(python, pymalloc.used) if pymalloc else 0
    result.add(Owner.PYTHON_FREE, python - used)
    result.add(Owner.PYTHON, result.allot(used, small))

    in_heap = sum(part.rss for part in parts if part.area is Area.HEAP) + strayed
    claimed = in_heap - strayed - left[Area.HEAP]
    # Used memory of malloc is resident as a rule; free memory was returned to the system first.
    in_use = min(in_heap, heap.used) if heap else in_heap
    result.add(Owner.NATIVE_FREE, in_heap - max(in_use, claimed))
    malloc = max(0, in_use - claimed) + left[Area.BLOCKS] + blocks
    large = [(r.owner, min(r.large, r.estimated)) for r in reports if r.region is Region.PYTHON]
    native = [(r.owner, r.estimated) for r in reports if r.region is Region.NATIVE]
    malloc = result.allot(malloc, [*large, *native])
    objects = min(malloc, figures.large_objects(malloc))
    result.add(Owner.PYTHON, objects)
    result.add(Owner.NATIVE, malloc - objects)
    if pymalloc is None:
        # Nearly all anonymous memory beside malloc's is Python's.
        result.add(Owner.PYTHON, rest)
        rest = 0
    result.add(Owner.UNNAMED, rest)
