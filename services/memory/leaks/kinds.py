"""Which kind of memory grows: Python objects, native memory, or what the allocator keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.held import Owner
from services.memory.leaks.load import without_load
from services.memory.leaks.readings import Blocks
from services.memory.leaks.statistics import slope
from services.memory.leaks.types import LeakKind
from services.memory.objects.types import Census
from services.memory.types import Series, owner_column

PYTHON_SHARE = 0.45
# Bytes of an average small Python object, where only their number is known.
BLOCK_BYTES = 72.0


@dataclass(frozen=True, slots=True)
class Parts:
    """How much of a window's growth each part makes up, in bytes; None where it is not known."""

    live: float | None
    rss: float | None
    small: float | None  # Python's small objects
    large: float | None  # Python objects over 512 bytes
    free: float | None  # kept by the allocators
    unnamed: float | None


def parts_of(blocks: Blocks, censuses: Sequence[Census], window: float) -> Parts:
    """Return what grew in a window."""
    small = _rise(blocks, Series.PYTHON_USED)
    if small is None:
        count = _rise(blocks, Series.PYTHON_BLOCKS)
        small = None if count is None else count * BLOCK_BYTES
    large = None
    if len(censuses) > 1 and censuses[-1].time > censuses[0].time:
        more = censuses[-1].large_bytes - censuses[0].large_bytes
        large = more / (censuses[-1].time - censuses[0].time) * window
    frees = [_rise(blocks, owner_column(owner)) for owner in (Owner.NATIVE_FREE, Owner.PYTHON_FREE)]
    known = [free for free in frees if free is not None]
    return Parts(
        live=_rise(blocks, Series.LIVE),
        rss=_rise(blocks, Series.RSS),
        small=small,
        large=large,
        free=sum(known) if known else None,
        unnamed=_rise(blocks, owner_column(Owner.UNNAMED)),
    )


def live_kind(parts: Parts) -> LeakKind:
    """Return the kind of growth in live bytes."""
    if parts.live is None or parts.live <= 0.0:
        return LeakKind.PYTHON if parts.small is not None and parts.small > 0.0 else LeakKind.NATIVE
    python = max(0.0, parts.small or 0.0) + max(0.0, parts.large or 0.0)
    return LeakKind.PYTHON if python >= PYTHON_SHARE * parts.live else LeakKind.NATIVE


def outside_kind(parts: Parts) -> LeakKind:
    """Return the kind of growth in RSS that live bytes do not show.

    What neither allocator keeps and no other owner has is memory that somebody maps by himself.
    """
    if parts.rss is None or parts.free is None or parts.unnamed is None:
        return LeakKind.RETENTION
    mapped = parts.free < 0.25 * parts.rss and parts.unnamed > 0.5 * parts.rss
    return LeakKind.NATIVE if mapped else LeakKind.RETENTION


def _rise(blocks: Blocks, column: str) -> float | None:
    values = blocks.get(column)
    if values is None:
        return None
    values = without_load(blocks.times, values, blocks.loads)
    return slope(blocks.times, values) * float(blocks.times[-1] - blocks.times[0])
