"""Which of all windows a verdict rests on, and what kind of growth it shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from services.memory.leaks.censuses import Censuses
from services.memory.leaks.growth import Doubt
from services.memory.leaks.kinds import Parts, live_kind, outside_kind, parts_of
from services.memory.leaks.readings import Blocks, Readings
from services.memory.leaks.scales import LIVE, MB, RSS, Measure
from services.memory.leaks.types import LeakKind, State
from services.memory.leaks.watching import Look, Watching, blocks_of

# A thread takes at least a stack and what it works on, a descriptor its buffers: if those that leak could make up this
# share of the memory that grows, they are the cause.
BYTES_EACH = {LeakKind.THREADS: MB, LeakKind.DESCRIPTORS: 128 * 1024.0}
CAUSE_SHARE = 0.3
# A second half up to so much faster than the first still is one and the same growth.
EVEN = 1.5


@dataclass(frozen=True, slots=True)
class Finding:
    """Growth that is worth a verdict of watch or leak, and the window that shows it best."""

    state: State
    kind: LeakKind
    measure: Measure
    look: Look
    blocks: Blocks
    parts: Parts


def find(watchings: Collection[Watching], readings: Readings, censuses: Censuses) -> Finding | None:
    """Return what leaks, or else what grows; of several what weighs most."""
    found = [one for watching in watchings if (one := _best(watching, readings, censuses)) is not None]
    if any(one.measure is LIVE for one in found):
        # RSS grows along.
        found = [one for one in found if one.measure is not RSS]
    leaks = [one for one in found if one.state is State.LEAK]
    return max(leaks or found, key=_weight, default=None)


def of_kind(found: Finding, censuses: Censuses) -> Finding:
    """Return the finding with its kind decided anew: a census may have been taken since."""
    return _finding(found.state, found.measure, found.look, found.blocks, censuses)


def _best(watching: Watching, readings: Readings, censuses: Censuses) -> Finding | None:
    looks = list(watching.looks.values())
    for state, chosen in (
        (State.LEAK, [look for look in looks if look.leaks]),
        (State.WATCH, [look for look in looks if look.watched]),
    ):
        look = _telling(chosen)
        blocks = None if look is None else blocks_of(readings, look.window, look.time)
        if look is not None and blocks is not None:
            return _finding(state, watching.measure, look, blocks, censuses)
    return None


def _telling(looks: Sequence[Look]) -> Look | None:
    """Return the longest of the windows that grow evenly; the shortest where growth has only begun in all of them."""
    even = [look for look in looks if look.growth.pace <= EVEN]
    return max(even, key=lambda look: look.window) if even else min(looks, key=lambda look: look.window, default=None)


def _finding(state: State, measure: Measure, look: Look, blocks: Blocks, censuses: Censuses) -> Finding:
    parts = parts_of(blocks, censuses.since(look.time - look.window), look.window)
    kind = measure.kind
    if measure is LIVE or (measure is RSS and parts.live is None):
        kind = live_kind(parts)
    elif measure is RSS:
        kind = outside_kind(parts)
    if kind is LeakKind.RETENTION:
        # What is kept can be given back: no leak.
        state = State.WATCH
        look = replace(look, growth=replace(look.growth, doubts=look.growth.doubts | {Doubt.RETAINED}))
    return Finding(state, kind or LeakKind.NATIVE, measure, look, blocks, parts)


def _weight(found: Finding) -> float:
    """How much memory growth could come from it, in bytes an hour."""
    slope = found.look.growth.slope
    return slope * BYTES_EACH[found.kind] / CAUSE_SHARE if found.kind in BYTES_EACH else slope
