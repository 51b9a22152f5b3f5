"""How many parsed chunks may wait to be embedded before no further file is parsed: bounded in all and for each flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from services.knowledge.ingestion.lanes import Lane
from services.knowledge.ingestion.turns import Flow

# Chunks of one flow: several seconds of the embedding stage's work. All flows together may have twice as many, and then
# those begin only that have none.
FLOW_CHUNKS = 512
FLOW_CHUNKS_LOW_MEMORY = 64
MOST_CHUNKS = 4096
# A file counts as at most so many, so that small files pass a huge one, whose chunks are on disk.
FILE_CHUNKS = 256
# Large files of one flow, and of all: one is embedded while the next is parsed.
FLOW_LARGE = 2
MOST_LARGE = 4


class ParsedTask(Protocol):
    """What is needed of a task that is parsed: chunks that are to be embedded, whose they are."""

    @property
    def remaining(self) -> int: ...
    @property
    def flow(self) -> Flow: ...
    @property
    def lane(self) -> Lane: ...


class Backlog:
    """The chunks that wait at one moment."""

    def __init__(self, tasks: Iterable[ParsedTask], *, low_memory: bool) -> None:
        self._flow_limit = FLOW_CHUNKS_LOW_MEMORY if low_memory else FLOW_CHUNKS
        self._chunks: Counter[Flow] = Counter()
        self._large: Counter[Flow] = Counter()
        for task in tasks:
            if task.remaining <= 0:
                continue
            if task.lane is Lane.QUICK:
                self._chunks[task.flow] += min(task.remaining, FILE_CHUNKS)
            else:
                self._large[task.flow] += 1
        self._all_chunks = self._chunks.total()
        self._all_large = self._large.total()

    def admits(self, flow: Flow, lane: Lane) -> bool:
        """Return whether another file of a flow may be parsed."""
        if lane is Lane.QUICK:
            own = self._chunks[flow]
            within = self._all_chunks < 2 * self._flow_limit or not own
            return own < self._flow_limit and within and self._all_chunks < MOST_CHUNKS
        own = self._large[flow]
        return own < FLOW_LARGE and (self._all_large < MOST_LARGE or (not own and self._all_large < 2 * MOST_LARGE))
