"""The suspects of a leak: containers, types, traced lines, owners, threads or descriptors that grow with the memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from services import memory
from services.core.i18n import _
from services.memory.leaks.findings import Finding
from services.memory.leaks.probes import CensusHistory, Probes
from services.memory.leaks.readings import HOUR, Blocks
from services.memory.leaks.statistics import theil_sen_slope
from services.memory.leaks.types import LeakKind, Suspect, SuspectKind, VerdictState
from services.memory.objects.types import Census, ContainerCount
from services.memory.types import OWNERS, owner_column

MOST = 8
# What explains less than this share of the growth is no suspect.
LEAST_SHARE = 0.1
LEAST_ENTRIES = 8
# Ranks where several explain the same growth: the most specific first (container or line, type, built-in type, owner).
OWN_TYPE, PLAIN_TYPE, GENERAL = 0.9, 0.6, 0.5
# A container's entries are taken for objects of a type when both grow by the same number within this share.
ALIKE = 0.15
# Built-in types say little about who made their objects.
PLAIN = frozenset(
    (
        *("dict", "list", "tuple", "set", "frozenset", "str", "bytes", "bytearray", "int", "float", "complex", "bool"),
        *("cell", "function", "method", "builtin_function_or_method", "type", "object", "slice", "range", "NoneType"),
        *("collections.deque", "collections.OrderedDict", "collections.defaultdict", "weakref.ReferenceType"),
    )
)
# Bounded memory of the monitoring itself: it grows with each census and is never the leak.
MONITORING_MODULES = f"{memory.__name__}."
MONITORING_PARTS = ("objects", "detector", "history", "ledger", "tracer", "sampler", "pauses")  # of `MemoryMonitor`
MONITORING_CONTAINER = re.compile(rf"\bmemory\.({'|'.join(MONITORING_PARTS)})\b")
# Growth must have continued after the middle census at this share of its mean pace at least: what was made once, when a
# module was imported or a cache filled, has stopped.
STEADY_SHARE = 0.3
_SUSPECTS = {LeakKind.THREADS: SuspectKind.THREAD, LeakKind.DESCRIPTORS: SuspectKind.DESCRIPTOR}


def owner_suspects(blocks: Blocks, slope: float) -> list[tuple[float, Suspect]]:
    """Return the owners in the ledger whose bytes grow, each with the share of `slope` (bytes an hour) it explains."""
    found = []
    for owner in OWNERS:
        values = blocks.get(owner_column(owner))
        if values is None:
            continue
        growth = theil_sen_slope(blocks.times, values) * HOUR
        share = growth / slope if slope > 0 else 0.0
        if share >= LEAST_SHARE:
            detail = _("{share} of the growth in the ledger").format(share=f"{min(share, 1.0):.0%}")
            found.append((GENERAL * min(share, 1.0), Suspect(SuspectKind.OWNER, str(owner), detail, growth)))
    return sorted(found, key=lambda pair: -pair[0])


def line_suspects(lines: Sequence[tuple[str, float]], slope: float) -> list[tuple[float, Suspect]]:
    """Return the traced lines whose allocations grow, each with the share of `slope` (bytes an hour) it explains."""
    return [
        (min(growth / slope, 1.0), Suspect(SuspectKind.LINE, line, _("what this line allocates stays"), growth))
        for line, growth in lines
        if slope > 0 and growth / slope >= LEAST_SHARE
    ]


def census_suspects(censuses: Sequence[Census], slope: float, kind: LeakKind | None) -> list[tuple[float, Suspect]]:
    """Return containers and types that grew from the first to the last census, by the share of `slope` they explain."""
    if len(censuses) < 2:
        return []
    hours = max(censuses[-1].time - censuses[0].time, 1.0) / HOUR
    change = _CensusDifference(censuses, grown=slope * hours, hours=hours)
    return sorted(_containers(change) + _types(change, kind), key=lambda pair: -pair[0])


class _CensusDifference:
    """Counts and bytes by type that came between two censuses; `grown` is the growth in bytes to be explained."""

    def __init__(self, censuses: Sequence[Census], grown: float, hours: float) -> None:
        first, middle, last = censuses[0], censuses[len(censuses) // 2], censuses[-1]
        self.first, self.last, self.grown, self.hours = first, last, max(grown, 1.0), hours
        self._late = (last.time - middle.time) / max(last.time - first.time, 1.0) if len(censuses) > 2 else 0.0
        self._middle = {container.address: container for container in middle.containers}
        self.counts: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        for name, now in last.types.items():
            if name.startswith(MONITORING_MODULES):
                continue
            before, between = first.types.get(name), middle.types.get(name)
            count = now.count - (before.count if before else 0)
            if not self.kept_growing(count, now.count - (between.count if between else 0)):
                continue
            self.counts[name] = count
            self.sizes[name] = now.bytes - (before.bytes if before else 0)

    def kept_growing(self, more: int, lately: int) -> bool:
        """Whether growth by `more` in all continued after the middle census, by `lately`."""
        return lately >= STEADY_SHARE * self._late * more

    def kept_lengthening(self, container: ContainerCount, more: int) -> bool:
        """Whether a container with `more` entries kept growing; yes if the middle census did not count it."""
        between = self._middle.get(container.address)
        return between is None or self.kept_growing(more, container.length - between.length)


def _types(change: _CensusDifference, kind: LeakKind | None) -> list[tuple[float, Suspect]]:
    found = []
    most = max((count for name, count in change.counts.items() if name not in PLAIN), default=0)
    for name, count in change.counts.items():
        if count < LEAST_ENTRIES:
            continue
        size = change.sizes[name]
        share = size / change.grown
        own = name not in PLAIN
        if own and count >= 0.1 * most:
            # Objects of a class hold built-in ones: these count towards it where there are about as many.
            plain = (other for other in PLAIN & change.counts.keys() if change.counts[other] >= 0.8 * count)
            share = max(share, min(0.95, (size + sum(change.sizes[other] for other in plain)) / change.grown))
            if kind is LeakKind.NATIVE:
                # A census does not size native memory; the type that multiplies may hold it.
                share = max(share, 0.3 * count / most)
        if share >= LEAST_SHARE:
            detail = _("{more} more, now {total}").format(more=f"{count:,}", total=f"{change.last.types[name].count:,}")
            suspect = Suspect(SuspectKind.TYPE, name, detail, size / change.hours)
            found.append((min(share, 1.0) * (OWN_TYPE if own else PLAIN_TYPE), suspect))
    return found


def _containers(change: _CensusDifference) -> list[tuple[float, Suspect]]:
    before = {container.address: container for container in change.first.containers}
    by_name = {container.name: container for container in change.first.containers}
    # A census lists the longest only: a container missing from it may have been as long as the shortest listed.
    shortest = min((container.length for container in change.first.containers), default=0)
    found = []
    for container in change.last.containers:
        old = before.get(container.address) or by_name.get(container.name)
        more = container.length - (old.length if old is not None else min(shortest, container.length))
        if (
            more < LEAST_ENTRIES
            or MONITORING_CONTAINER.search(container.name)
            or not change.kept_lengthening(container, more)
        ):
            continue
        alike = (name for name, count in change.counts.items() if abs(count - more) <= ALIKE * more)
        share_new = more / container.length
        held = container.held_bytes - old.held_bytes if old is not None else container.held_bytes * share_new
        # Entries that hold little and match no type may still be what grows: ranked last, the longest first.
        share = max(min(1.0, max(held, sum(change.sizes[name] for name in alike)) / change.grown), 0.15)
        detail = _("{more} more entries, now {total}").format(more=f"{more:,}", total=f"{container.length:,}")
        suspect = Suspect(SuspectKind.CONTAINER, container.name, detail, more / change.hours)
        found.append((share + more * 1e-9, suspect))
    return found


def group_suspects(
    now: Counter[str], before: Counter[str], hours: float, kind: SuspectKind
) -> list[tuple[float, Suspect]]:
    """Return the groups of threads or descriptors that grew, the fastest first."""
    found = []
    for name, more in (now - before).most_common(MOST):
        detail = _("{more} more, now {total}").format(more=more, total=now[name])
        found.append((float(more), Suspect(kind, name, detail, more / hours)))
    return found


def rank_suspects(*groups: Sequence[tuple[float, Suspect]]) -> tuple[Suspect, ...]:
    """Return the suspects of all groups, what explains most first."""
    found = sorted((pair for group in groups for pair in group), key=lambda pair: -pair[0])
    return tuple(suspect for _share, suspect in found[:MOST])


class SuspectCollector:
    """Collects what names suspects: censuses over time, and the groups of threads and descriptors after the warm-up."""

    def __init__(self, probes: Probes) -> None:
        self._lines = probes.lines
        self._probes = {LeakKind.THREADS: probes.threads, LeakKind.DESCRIPTORS: probes.descriptors}
        self._groups: dict[LeakKind, tuple[float, Counter[str]]] = {}
        self.census_history = CensusHistory(probes.census)

    def collect(self, found: Finding | None, now: float) -> None:
        """Take a census if one is due; on the first call, count threads and descriptors as the baseline."""
        self.census_history.update(
            now, suspicious=found is not None, urgent=found is not None and found.state is VerdictState.LEAK
        )
        for kind, probe in self._probes.items():
            if probe is not None and kind not in self._groups:
                self._groups[kind] = (now, probe())

    def suspects(self, found: Finding, now: float) -> tuple[Suspect, ...]:
        """Return what grows along with the finding, what explains most first."""
        slope = max(found.trend.growth.slope, 1e-9)
        probe = self._probes.get(found.kind)
        if probe is not None and found.kind in self._groups:
            began, before = self._groups[found.kind]
            return rank_suspects(group_suspects(probe(), before, max(now - began, 1.0) / HOUR, _SUSPECTS[found.kind]))
        lines = self._lines() if self._lines is not None else ()
        censuses = self.census_history.since(now - found.trend.window)
        return rank_suspects(
            line_suspects(lines, slope),
            census_suspects(censuses, slope, found.kind),
            owner_suspects(found.blocks, slope),
        )
