"""The arithmetic of the ledger: pieces of the address space, allocators' figures and reports in, owners out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from services.core.memory_report import MemoryReport, Owner, Region
from services.memory.ledger.address_space import Area, MappedPart
from services.memory.ledger.allocators import MallocHeap, Pymalloc
from services.memory.ledger.smaps import PAGE, SMALL, Residency

# Whose a piece is when nobody claims it.
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
class Figures:
    """What goes into a ledger beside the pieces: None for what the system does not tell.

    `block_bytes` is how much of malloc's own mappings was found among the pieces, resident or not; `large_objects`
    tells what of so much of malloc's memory is in Python objects that no report names.
    """

    heap: MallocHeap | None
    heap_reserved: int
    block_bytes: int
    pymalloc: Pymalloc | None
    large_objects: Callable[[int], int]


@dataclass
class Division:
    """Owners' bytes, and how much was reported beyond what there is."""

    owners: dict[Owner, int] = field(default_factory=dict)
    overclaimed: int = 0

    def give(self, owner: Owner, size: int) -> None:
        self.owners[owner] = self.owners.get(owner, 0) + size

    def share(self, budget: int, claims: Sequence[tuple[Owner, int]]) -> int:
        """Give each its claim out of `budget`, less in proportion when there is not enough; return what is left."""
        wanted = sum(size for _owner, size in claims)
        factor = min(1.0, budget / wanted) if wanted else 0.0
        for owner, size in claims:
            self.give(owner, given := int(size * factor))
            budget -= given
        self.overclaimed += max(0, wanted - int(wanted * factor)) if factor < 1 else 0
        return budget


def divide(
    pieces: Sequence[MappedPart], held: Iterable[MemoryReport], figures: Figures, residency: Residency
) -> Division:
    """Divide the resident bytes of `pieces`; what is left over is unnamed."""
    result = Division()
    reports = [resource for resource in held if resource.region is not Region.ELSEWHERE and resource.bytes >= 0]
    resident = [piece.rss for piece in pieces]
    _by_address(result, pieces, resident, reports, residency)
    _by_file(result, pieces, resident, reports)
    left = dict.fromkeys(Area, 0)
    for piece, size in zip(pieces, resident, strict=True):
        left[piece.area] += size
    for area, owner in _OWNERS.items():
        result.give(owner, left[area])
    _allocators(result, pieces, left, reports, figures)
    return result


def _by_address(
    result: Division,
    pieces: Sequence[MappedPart],
    resident: list[int],
    reports: Iterable[MemoryReport],
    residency: Residency,
) -> None:
    """Take each reported range out of the piece that it lies in, as far as it is resident; the first report wins."""
    ranges = sorted(
        (address, address + length, order, resource.owner)
        for order, resource in enumerate(reports)
        for address, length in resource.ranges
        if length > 0
    )
    starts = [piece.start for piece in pieces]
    position = 0
    for start, end, _order, owner in ranges:
        begin = max(start, position)
        position = max(position, end)
        while begin < end:
            index = bisect_right(starts, begin) - 1
            # Of two pieces with the same addresses (a file's clean and changed pages) the last is found: see below.
            piece = pieces[index] if index >= 0 else None
            if piece is None or begin >= piece.end:
                following = starts[index + 1] if index + 1 < len(starts) else end
                begin = max(begin, following)
                continue
            finish = min(end, piece.end)
            size = _resident(piece, begin, finish, residency)
            for which in (index, index - 1):
                if which >= 0 and pieces[which].start == piece.start:
                    given = min(size, resident[which])
                    resident[which] -= given
                    size -= given
                    result.give(owner, given)
            begin = finish


def _resident(piece: MappedPart, start: int, end: int, residency: Residency) -> int:
    if end - start < SMALL or piece.rss >= piece.end - piece.start:
        return end - start
    pages = residency.pages(start, end) if residency.known else None
    if pages is None:
        return round((end - start) * piece.rss / max(1, piece.end - piece.start))
    return min(end - start, int(pages.sum()) * PAGE)


def _by_file(
    result: Division, pieces: Sequence[MappedPart], resident: list[int], reports: Iterable[MemoryReport]
) -> None:
    owners = {file: resource.owner for resource in reports for file, _size in resource.files}
    for index, piece in enumerate(pieces):
        owner = owners.get(piece.path) if piece.path else None
        if owner is not None:
            result.give(owner, resident[index])
            resident[index] = 0


def _allocators(
    result: Division,
    pieces: Sequence[MappedPart],
    left: dict[Area, int],
    reports: Sequence[MemoryReport],
    figures: Figures,
) -> None:
    """Divide malloc's memory, Python's, and what is anonymous beyond the two."""
    heap, pymalloc = figures.heap, figures.pymalloc
    rest = left[Area.ANONYMOUS]
    # Python's arenas are anonymous memory that nothing marks: their number is known, their place is not.
    python = min(rest, pymalloc.arenas) if pymalloc else 0
    rest -= python
    # Malloc's memory outside the usual places: blocks that were not found, an arena that could not grow where it was.
    # Where malloc says nothing, all the rest is taken for its own.
    blocks = min(rest, max(0, heap.mapped - figures.block_bytes)) if heap else rest
    rest -= blocks
    strayed = min(rest, max(0, heap.arenas - figures.heap_reserved)) if heap else 0
    rest -= strayed
    rest = result.share(
        rest + left[Area.FOREIGN], [(r.owner, r.believed) for r in reports if r.region is Region.MAPPED]
    )
    kept = min(rest, left[Area.FOREIGN])
    result.give(Owner.NATIVE_FREE, kept)
    rest -= kept

    small = [(r.owner, max(0, r.believed - r.large)) for r in reports if r.region is Region.PYTHON]
    used = min(python, pymalloc.used) if pymalloc else 0
    result.give(Owner.PYTHON_FREE, python - used)
    result.give(Owner.PYTHON, result.share(used, small))

    in_heap = sum(piece.rss for piece in pieces if piece.area is Area.HEAP) + strayed
    claimed = in_heap - strayed - left[Area.HEAP]
    # What malloc calls used was touched, as a rule; what it calls free was given back first.
    in_use = min(in_heap, heap.used) if heap else in_heap
    result.give(Owner.NATIVE_FREE, in_heap - max(in_use, claimed))
    malloc = max(0, in_use - claimed) + left[Area.BLOCKS] + blocks
    large = [(r.owner, min(r.large, r.believed)) for r in reports if r.region is Region.PYTHON]
    native = [(r.owner, r.believed) for r in reports if r.region is Region.NATIVE]
    malloc = result.share(malloc, [*large, *native])
    objects = min(malloc, figures.large_objects(malloc))
    result.give(Owner.PYTHON, objects)
    result.give(Owner.NATIVE, malloc - objects)
    if pymalloc is None:
        # Anonymous memory beside malloc's is Python's, nearly all of it.
        result.give(Owner.PYTHON, rest)
        rest = 0
    result.give(Owner.UNNAMED, rest)
