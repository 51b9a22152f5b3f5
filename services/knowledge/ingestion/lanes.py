"""Lanes: how the few places of the parse stage are shared among files that take moments and files that take minutes.

A file of moderate size is taken to be quick; what turns out slow counts as large from then on. Large files together
never have all places, so that a quick one never waits for a large one, nor a large one for ever. Where all places are
taken by slow files after all, the one that was taken to be quick goes behind, and so does every file that ran into a
time limit or whose reader died: such files have one place at a time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum

from services.core.machine import MEGABYTE
from services.knowledge.ingestion.turns import Flow
from services.knowledge.store.jobs import QueuedJob

MOST_FILES = 3
MOST_LARGE = 2
MOST_BEHIND = 1
# What is larger is not parsed in moments; what takes longer was not quick.
QUICK_BYTES = 4 * MEGABYTE
QUICK_SECONDS = 2.0
# After so long a large file makes room for another person's if its owner has all the places of large files.
LARGE_SECONDS = 20.0


class Lane(IntEnum):
    """How long a file may take, before it is parsed: moments, minutes, or up to its limits as it did before."""

    QUICK = 0
    LARGE = 1
    BEHIND = 2


def lane_of(job: QueuedJob) -> Lane:
    """Return the lane of a job that waits."""
    if job.behind:
        return Lane.BEHIND
    return Lane.LARGE if job.size_bytes > QUICK_BYTES else Lane.QUICK


@dataclass(eq=False, slots=True)
class Place:
    """A file that is being parsed: whose it is, its lane, since when (monotonic)."""

    flow: Flow
    lane: Lane
    since: float = field(default_factory=time.monotonic)
    _charged: float = 0.0

    def newly_used(self) -> float:
        """Return for how many seconds it has been parsed since this was last asked."""
        seconds = self.seconds
        used, self._charged = seconds - self._charged, seconds
        return used

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    @property
    def slow(self) -> bool:
        """Whether it counts as a large file."""
        return self.lane is not Lane.QUICK or self.seconds >= QUICK_SECONDS


class Places:
    """The files that are being parsed. Not thread-safe."""

    def __init__(self) -> None:
        self._taken: list[Place] = []

    def enter(self, flow: Flow, lane: Lane) -> Place:
        """Record that a file is being parsed; `leave` ends that."""
        place = Place(flow, lane)
        self._taken.append(place)
        return place

    def leave(self, place: Place) -> None:
        """Record that it no longer is."""
        self._taken.remove(place)

    def free_lanes(self, *, low_memory: bool) -> frozenset[Lane]:
        """Return of which lanes a file may begin; where memory is short, one quick and one other at a time."""
        slow = sum(place.slow for place in self._taken)
        quick = len(self._taken) - slow
        if len(self._taken) >= MOST_FILES:
            return frozenset()
        free = set()
        if not low_memory or not quick:
            free.add(Lane.QUICK)
        if slow < (1 if low_memory else MOST_LARGE):
            free.add(Lane.LARGE)
            if sum(place.lane is Lane.BEHIND for place in self._taken) < MOST_BEHIND:
                free.add(Lane.BEHIND)
        return frozenset(free)

    def newly_used(self) -> list[tuple[Flow, float]]:
        """Return for how many seconds files have been parsed since this was last asked."""
        return [(place.flow, place.newly_used()) for place in self._taken]

    def flows(self) -> set[Flow]:
        """Return whose files have a place."""
        return {place.flow for place in self._taken}

    def makes_way_for(self, place: Place) -> Lane | None:
        """Return up to which lane a waiting file may have a place in return for this one; None: it stays."""
        slow = [one for one in self._taken if one.slow]
        if place.lane is Lane.QUICK:
            # It was taken to be quick, and now all places are taken by slow files: the one that had most goes.
            first = next((one for one in slow if one.lane is Lane.QUICK), None)
            return Lane.QUICK if place is first and len(slow) >= MOST_FILES else None
        own = [one for one in slow if one.flow.owner == place.flow.owner]
        youngest = place is own[-1] and len(own) >= MOST_LARGE
        return Lane.LARGE if place.lane is Lane.LARGE and youngest and place.seconds >= LARGE_SECONDS else None
