"""malloc's large blocks with mappings of their own, found by the header that glibc writes in front of each.

The kernel merges these mappings with their neighbours, so mappings alone do not show them.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from services.memory.ledger.smaps import PAGE, Bools, Residency

_MAPPED = 2  # IS_MMAPPED, with neither of the two other flags (glibc, malloc/malloc.c)
_FLAGS = 7
_LARGEST = 1 << 47  # the address space of a process; a larger size is other data
# Pages that are probed at once, and altogether in one search at most (2 GB).
_BATCH = 1024
_MOST_PROBES = 1 << 19

Addresses = NDArray[np.uint64]


class BlockFinder:
    """Finds blocks until `expected` bytes of them are found, beginning with those `known` from the last search.

    `found` is the size of the blocks found so far in bytes, resident or not.
    """

    def __init__(self, residency: Residency, expected: int, known: Addresses | None = None) -> None:
        self._residency = residency
        self._expected = expected
        self._probes = _MOST_PROBES
        self._blocks: dict[int, int] = {}
        if known is not None and len(known):
            sizes = self._sizes(known)
            self._blocks = {int(a): int(size) for a, size in zip(known, sizes, strict=False) if size}
        self._known = sorted(self._blocks)
        self.found = sum(self._blocks.values())

    @property
    def addresses(self) -> Addresses:
        """The addresses of the blocks, for the next search."""
        return np.array(sorted(self._blocks), np.uint64)

    def is_block(self, start: int, end: int) -> bool:
        """Whether [start, end) is exactly one block."""
        if start not in self._blocks and self.found < self._expected:
            size = self._sizes(np.array([start], np.uint64))
            if len(size) and int(size[0]) == end - start:
                self._add(start, end - start)
        return self._blocks.get(start) == end - start

    def blocks_within(self, start: int, end: int, origin: int, resident: Bools) -> list[tuple[int, int]]:
        """Return (start, end) of the blocks in [start, end), ascending.

        `resident` says which pages from `origin` on are resident: only these are probed. The first page of a block
        always is, as it carries the header.
        """
        if self.found < self._expected:
            self._search(start, end, origin, resident)
            known = sorted(self._blocks)
        else:
            known = self._known
        inside = known[bisect_left(known, start) : bisect_left(known, end)]
        return [(a, min(end, a + self._blocks[a])) for a in inside]

    def _search(self, start: int, end: int, origin: int, resident: Bools) -> None:
        offsets = np.flatnonzero(resident[(start - origin) // PAGE : (end - origin) // PAGE])
        addresses = offsets.astype(np.uint64) * np.uint64(PAGE) + np.uint64(start)
        position = 0
        while position < len(addresses) and self.found < self._expected and self._probes > 0:
            batch = addresses[position : position + _BATCH]
            self._probes -= len(batch)
            sizes = self._sizes(batch)
            if not len(sizes):
                return
            fits = np.flatnonzero((sizes > 0) & (sizes <= np.uint64(end) - batch))  # a sum could wrap around
            if not len(fits):
                position += len(batch)
                continue
            first = int(fits[0])
            self._add(int(batch[first]), int(sizes[first]))
            position = int(np.searchsorted(addresses, batch[first] + sizes[first]))

    def _add(self, start: int, size: int) -> None:
        if start not in self._blocks:
            self._blocks[start] = size
            self.found += size

    def _sizes(self, addresses: Addresses) -> Addresses:
        """Return the sizes of the blocks at `addresses`, 0 where none begins; empty when memory cannot be read."""
        words = self._residency.words(addresses, 2)
        if words is None:
            return np.zeros(0, np.uint64)
        before, size = words[:, 0], words[:, 1]
        plain = size & np.uint64(~_FLAGS & (1 << 64) - 1)
        is_block = (before == 0) & (size & np.uint64(_FLAGS) == _MAPPED) & (plain % np.uint64(PAGE) == 0) & (plain > 0)
        is_block &= plain < np.uint64(_LARGEST)
        return np.where(is_block, plain, np.uint64(0))
