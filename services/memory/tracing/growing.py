"""Which lines grow: the suspects that tracing can name."""

from __future__ import annotations

import numpy as np

from services.memory.tracing.comparing import count_for, group
from services.memory.tracing.source import is_ours, short
from services.memory.tracing.traces import Traces
from services.memory.tracing.types import Filters, GroupBy, Growth, Place
from services.texts import _

_KEPT = 20
_SHORTEST_SECONDS = 1.0


def growth(old: Traces, new: Traces, seconds: float) -> tuple[Growth, ...]:
    """Return the lines that hold more in `new`, taken `seconds` after `old`, fastest first.

    With more than one frame each line also has the newest line of our code on the ways there, by most of its bytes.
    """
    filters = Filters(hide_imports=True)
    before, now = (group(traces, GroupBy.LINE, filters) for traces in (old, new))
    found = []
    for key, (size, blocks) in now.items():
        old_size, old_blocks = before.get(key, (0, 0))
        if size > old_size:
            found.append((size - old_size, blocks - old_blocks, key[0]))
    found.sort(key=lambda item: item[0], reverse=True)
    hours = max(_SHORTEST_SECONDS, seconds) / 3600
    return tuple(Growth(place, _own(new, place), size / hours, size, blocks) for size, blocks, place in found[:_KEPT])


def describe(found: Growth) -> str:
    """Return where it grows, and for which line of ours if that is another."""
    place = f"{short(found.place.file)}:{found.place.line}"
    if found.own is None or found.own == found.place:
        return place
    return _("{place}, called by {own}").format(place=place, own=f"{short(found.own.file)}:{found.own.line}")


def _own(traces: Traces, place: Place) -> Place | None:
    """Return the newest line of ours on the ways to `place`, that of most of its bytes."""
    if is_ours(place.file):
        return place
    newest, _all = count_for(traces, Filters())
    own, has = count_for(traces, Filters(ours=True))
    here = (traces.frame_lines[newest] == place.line) & has
    here &= np.array([file == place.file for file in traces.files], dtype=bool)[traces.frame_files[newest]]
    if not here.any():
        return None
    frame = int(np.argmax(np.bincount(own[here], weights=traces.bytes[here])))
    return Place(traces.files[int(traces.frame_files[frame])], int(traces.frame_lines[frame]))
