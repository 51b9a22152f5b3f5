"""Which of all windows a verdict rests on, and what kind of growth it shows.

A handful of censuses: when to take one, which to keep, and what grew between them.

The evidence for a verdict in plain sentences.

Which kind of memory grows: Python objects, native memory, or what the allocator keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import structlog

from services.core.i18n import _
from services.core.memory_report import Owner
from services.memory.leaks.growth import Doubt, without_load
from services.memory.leaks.messages import counted, duration, number, size
from services.memory.leaks.readings import HOUR, LIVE, MB, MINUTE, RSS, Blocks, Measure, Readings
from services.memory.leaks.statistics import slope
from services.memory.leaks.types import LeakKind, VerdictState
from services.memory.leaks.windows import MeasureWatch, WindowTrend, blocks_of
from services.memory.objects.types import Census
from services.memory.types import Series, owner_column

log = structlog.get_logger(__name__)

# A thread takes at least a stack and what it works on, a descriptor its buffers: if those that leak could make up this
# share of the memory that grows, they are the cause.
BYTES_EACH = {LeakKind.THREADS: MB, LeakKind.DESCRIPTORS: 128 * 1024.0}
CAUSE_SHARE = 0.3
# A second half up to so much faster than the first still is one and the same growth.
EVEN = 1.5
MOST_KEPT = 6
CALM_PACE = HOUR / 2
SUSPICION_PACE = MINUTE
# A census costs a child process; this is the share of real time that it may take at most.
CALM_SHARE = 0.003
SUSPICION_SHARE = 0.1
# Real seconds until another try after a census that failed; doubled each time.
RETRY = 30.0
MOST_RETRIES = 7
PYTHON_SHARE = 0.45
# Bytes of an average small Python object, where only their number is known.
BLOCK_BYTES = 72.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Growth that is worth a verdict of watch or leak, and the window that shows it best."""

    state: VerdictState
    kind: LeakKind
    measure: Measure
    look: WindowTrend
    blocks: Blocks
    parts: GrowthParts


def find(watchings: Collection[MeasureWatch], readings: Readings, censuses: CensusHistory) -> Finding | None:
    """Return what leaks, or else what grows; of several what weighs most."""
    found = [one for watching in watchings if (one := _best(watching, readings, censuses)) is not None]
    if any(one.measure is LIVE for one in found):
        # RSS grows along.
        found = [one for one in found if one.measure is not RSS]
    leaks = [one for one in found if one.state is VerdictState.LEAK]
    return max(leaks or found, key=_weight, default=None)


def of_kind(found: Finding, censuses: CensusHistory) -> Finding:
    """Return the finding with its kind decided anew: a census may have been taken since."""
    return _finding(found.state, found.measure, found.look, found.blocks, censuses)


def _best(watching: MeasureWatch, readings: Readings, censuses: CensusHistory) -> Finding | None:
    looks = list(watching.looks.values())
    for state, chosen in (
        (VerdictState.LEAK, [look for look in looks if look.leaks]),
        (VerdictState.WATCH, [look for look in looks if look.watched]),
    ):
        look = _telling(chosen)
        blocks = None if look is None else blocks_of(readings, look.window, look.time)
        if look is not None and blocks is not None:
            return _finding(state, watching.measure, look, blocks, censuses)
    return None


def _telling(looks: Sequence[WindowTrend]) -> WindowTrend | None:
    """Return the longest of the windows that grow evenly; the shortest where growth has only begun in all of them."""
    even = [look for look in looks if look.growth.pace <= EVEN]
    return max(even, key=lambda look: look.window) if even else min(looks, key=lambda look: look.window, default=None)


def _finding(
    state: VerdictState, measure: Measure, look: WindowTrend, blocks: Blocks, censuses: CensusHistory
) -> Finding:
    parts = parts_of(blocks, censuses.since(look.time - look.window), look.window)
    kind = measure.kind
    if measure is LIVE or (measure is RSS and parts.live is None):
        kind = live_kind(parts)
    elif measure is RSS:
        kind = outside_kind(parts)
    if kind is LeakKind.RETENTION:
        # What is kept can be given back: no leak.
        state = VerdictState.WATCH
        look = replace(look, growth=replace(look.growth, doubts=look.growth.doubts | {Doubt.RETAINED}))
    return Finding(state, kind or LeakKind.NATIVE, measure, look, blocks, parts)


def _weight(found: Finding) -> float:
    """How much memory growth could come from it, in bytes an hour."""
    slope = found.look.growth.slope
    return slope * BYTES_EACH[found.kind] / CAUSE_SHARE if found.kind in BYTES_EACH else slope


class CensusHistory:
    """Keeps a few censuses of different ages, the newest last."""

    def __init__(self, take: Callable[[], Census] | None) -> None:
        self._take = take
        self._kept: list[Census] = []
        self._last_real = -float("inf")
        self._failures = 0

    @property
    def kept(self) -> tuple[Census, ...]:
        """The censuses, oldest first."""
        return tuple(self._kept)

    def look(self, now: float, *, suspicious: bool, urgent: bool = False) -> None:
        """Take a census if one is due; `urgent`: a leak is about to be named."""
        if self._take is None:
            return
        if self._failures and time.perf_counter() - self._last_real < RETRY * 2**self._failures:
            return
        last = self._kept[-1] if self._kept else None
        if last is not None:
            waited = time.perf_counter() - self._last_real
            pace, share = (SUSPICION_PACE, SUSPICION_SHARE) if suspicious else (CALM_PACE, CALM_SHARE)
            if urgent:
                pace, share = SUSPICION_PACE / 2, 0.5
            if now - last.time < pace or waited < last.took / share:
                return
        try:
            census = self._take()
        except Exception:
            # A verdict without suspects is better than none.
            log.exception("the census failed")
            self._failures = min(self._failures + 1, MOST_RETRIES)
            self._last_real = time.perf_counter()
            return
        self._failures = 0
        self._last_real = time.perf_counter()
        self._kept.append(census)
        if len(self._kept) > MOST_KEPT:
            self._thin()

    def since(self, moment: float) -> tuple[Census, ...]:
        """Return the censuses from the last one before `moment` on."""
        before = [census for census in self._kept if census.time <= moment]
        return (*before[-1:], *(census for census in self._kept if census.time > moment))

    def _thin(self) -> None:
        """Drop the one whose neighbours are closest in relation to their age: old ones end up far apart."""
        now = self._kept[-1].time
        gaps = [
            (self._kept[place + 1].time - self._kept[place - 1].time) / (now - self._kept[place - 1].time)
            for place in range(1, len(self._kept) - 1)
        ]
        del self._kept[gaps.index(min(gaps)) + 1]


def of(found: Finding) -> list[str]:
    """Say how much grew, what speaks against a leak so far, and which part of the memory it was."""
    return _of_growth(found.look, found.measure, found.kind) + _of_parts(found.parts, found.kind)


def _of_growth(look: WindowTrend, measure: Measure, kind: LeakKind) -> list[str]:
    grown, window = look.growth.grown, duration(look.window)
    if counted(kind):
        said = [_("The lowest count rose by {count} within {window}.").format(count=number(grown), window=window)]
    else:
        name = _("live bytes") if measure.series is Series.LIVE else str(measure.series)
        said = [
            _("The floor of {series} rose by {amount} within {window}, all along and not in single steps.").format(
                series=name, amount=size(grown), window=window
            )
        ]
    return said + [_doubt_names()[doubt] for doubt in Doubt if doubt in look.growth.doubts and doubt in _doubt_names()]


def _doubt_names() -> dict[Doubt, str]:
    return {
        Doubt.SMALL: _("That is still little: a cache that fills looks the same for as long."),
        Doubt.SLOWING: _("It slows down, as what fills up does."),
        Doubt.EXPLAINED: _("It is what the index, the models and bounded caches were given to hold."),
        Doubt.CYCLES: _("No full collection has looked at it yet."),
        Doubt.UNCONFIRMED: _("Seen in one window so far; a second one decides."),
        Doubt.RETAINED: _("What is in use does not grow: the allocator keeps freed memory. Trim and look again."),
    }


def _of_parts(parts: GrowthParts, kind: LeakKind) -> list[str]:
    said = []
    if parts.live is not None and parts.small is not None and kind in {LeakKind.PYTHON, LeakKind.NATIVE}:
        said.append(
            _("Of {live} more in use, {small} are small Python objects.").format(
                live=size(parts.live), small=size(max(0.0, parts.small))
            )
        )
        if parts.large is not None:
            said.append(
                _("Python objects over 512 bytes grew by {large} in the censuses.").format(
                    large=size(max(0.0, parts.large))
                )
            )
    if parts.rss is not None and parts.live is not None and kind is LeakKind.RETENTION:
        said.append(
            _("RSS grew by {rss}, bytes in use by {live}.").format(
                rss=size(max(0.0, parts.rss)), live=size(max(0.0, parts.live))
            )
        )
    return said


@dataclass(frozen=True, slots=True)
class GrowthParts:
    """How much of a window's growth each part makes up, in bytes; None where it is not known."""

    live: float | None
    rss: float | None
    small: float | None  # Python's small objects
    large: float | None  # Python objects over 512 bytes
    free: float | None  # kept by the allocators
    unnamed: float | None


def parts_of(blocks: Blocks, censuses: Sequence[Census], window: float) -> GrowthParts:
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
    return GrowthParts(
        live=_rise(blocks, Series.LIVE),
        rss=_rise(blocks, Series.RSS),
        small=small,
        large=large,
        free=sum(known) if known else None,
        unnamed=_rise(blocks, owner_column(Owner.UNNAMED)),
    )


def live_kind(parts: GrowthParts) -> LeakKind:
    """Return the kind of growth in live bytes."""
    if parts.live is None or parts.live <= 0.0:
        return LeakKind.PYTHON if parts.small is not None and parts.small > 0.0 else LeakKind.NATIVE
    python = max(0.0, parts.small or 0.0) + max(0.0, parts.large or 0.0)
    return LeakKind.PYTHON if python >= PYTHON_SHARE * parts.live else LeakKind.NATIVE


def outside_kind(parts: GrowthParts) -> LeakKind:
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
