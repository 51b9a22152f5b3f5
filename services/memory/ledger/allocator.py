"""What the two allocators of the process say: the C library's malloc and Python's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.memory.ledger.libc import Heap, heap
from services.memory.ledger.pymalloc import Pymalloc, PymallocReader
from services.memory.types import Series
from services.texts import _


@dataclass(frozen=True, slots=True)
class Allocators:
    """Their figures; None where this system or this Python does not tell."""

    heap: Heap | None
    pymalloc: Pymalloc | None

    def unknown(self) -> list[str]:
        """Say in words what cannot be told."""
        words = []
        if self.heap is None:
            words.append(
                _(
                    "This system's C library does not tell what its allocator has in use: free memory, and anonymous "
                    "memory of which nothing is known, counts as native memory in use."
                )
            )
        if self.pymalloc is None:
            words.append(
                _("This Python does not tell what its allocator has in use: its free memory counts as objects.")
            )
        elif self.pymalloc.estimated:
            words.append(
                _("While allocations are traced, Python tells how many small objects live, but not how large they are.")
            )
        return words

    def series(self) -> Mapping[str, float]:
        """Return the columns of a sample that these figures make."""
        return {Series.PYTHON_USED: float(self.pymalloc.used)} if self.pymalloc else {}


class AllocatorReader:
    """Asks both."""

    def __init__(self) -> None:
        self._pymalloc = PymallocReader()

    def read(self) -> Allocators:
        """Ask now; Python's takes 0.3 ms for each 100 MB with other threads waiting."""
        return Allocators(heap(), self._pymalloc.read())
