"""Types of tracing: snapshots, comparisons, cost and status."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

MOST_FRAMES = 25
MOST_MINUTES = 24 * 60


class GroupBy(StrEnum):
    """What a row of a comparison stands for."""

    LINE = "line"
    FILE = "file"
    TRACEBACK = "traceback"


class RowChange(StrEnum):
    """How a row changed from the older to the newer snapshot."""

    NEW = "new"
    GROWN = "grown"
    SAME = "same"
    SHRUNK = "shrunk"
    GONE = "gone"


class SourceLine(NamedTuple):
    """A line of a file; line 0 stands for the whole file. `file` is the path as the interpreter knows it."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What is known of a snapshot without reading its traces.

    `bytes` and `blocks` are what was traced, `tracebacks` how many different ones are stored, `left_out` the bytes of
    those too small to be stored. `overhead` is what tracemalloc itself needed, `size` the bytes on disk. `paused` and
    `took` in seconds. `run` identifies the tracing session: allocations from before a session are not in its
    snapshots.
    """

    id: str
    time: float
    run: float
    frames: int
    bytes: int
    blocks: int
    tracebacks: int
    left_out: int
    overhead: int
    size: int
    paused: float
    took: float
    automatic: bool = False
    name: str = ""
    note: str = ""
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One line, file or traceback: bytes and blocks in the newer snapshot, and how they differ from the older.

    `frames` is the traceback, most recent call last; a single place unless grouped by traceback. `source` is the text
    of the last of them, "" where there is none to show.
    """

    frames: tuple[SourceLine, ...]
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    change: RowChange
    source: str = ""

    @property
    def place(self) -> SourceLine:
        """Where the blocks were allocated."""
        return self.frames[-1]


@dataclass(frozen=True, slots=True)
class TraceFilters:
    """Which allocations count. `ours`: each counts for its newest frame in our code, others are left out.

    `hide_imports` leaves out what the import system and tracing itself allocate; `text` keeps rows with a path that
    contains it. `watching` includes what the watching of memory itself allocates.
    """

    ours: bool = False
    hide_imports: bool = False
    text: str = ""
    watching: bool = False


@dataclass(frozen=True, slots=True)
class TraceComparison:
    """Rows, the largest changes first (cut at a limit), and totals of all that passed the filters.

    `watching_bytes`, `watching_blocks` and their differences are what the watching of memory itself has allocated,
    whether it is among the rows or not.
    """

    new: SnapshotInfo
    old: SnapshotInfo | None
    by: GroupBy
    rows: tuple[ComparisonRow, ...]
    row_count: int
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    watching_bytes: int = 0
    watching_bytes_diff: int = 0
    watching_blocks: int = 0
    watching_blocks_diff: int = 0

    @property
    def same_run(self) -> bool:
        """Whether both were taken in one tracing session, without which differences mean little."""
        return self.old is None or self.old.run == self.new.run


@dataclass(frozen=True, slots=True)
class TraceGrowth:
    """A line that held more at the end of a session than at its beginning; `own` is the newest frame of our code."""

    place: SourceLine
    own: SourceLine | None
    bytes_per_hour: float
    bytes: int
    blocks: int


@dataclass(frozen=True, slots=True)
class TracingCost:
    """What tracing costs on this machine, measured in a forked child.

    How many times longer code takes: `slowdown` when it does nothing but allocate, `usual` when it parses JSON, which
    is more like what a service does. `bytes_per_block`: what each block that is allocated from then on needs beside
    itself. `blocks`: Python blocks alive now.
    """

    frames: int
    slowdown: float
    usual: float
    bytes_per_block: float
    blocks: int


@dataclass(frozen=True, slots=True)
class TracingStatus:
    """Whether tracing is on, until when, and what it holds. Times in seconds of the watching clock.

    `foreign`: something else than this page switched it on. `pause`: for about how many seconds a snapshot stops the
    process; `stop_pause`: the same for switching off. `snapshot_bytes`: RAM that the copy needs for a snapshot.
    `automatic_seconds`: pace of automatic snapshots, 0 without; `problem`: why the last of them failed.
    """

    on: bool
    foreign: bool = False
    frames: int = 0
    since: float = 0.0
    until: float = 0.0
    remaining: float = 0.0
    traced: int = 0
    peak: int = 0
    overhead: int = 0
    blocks: int = 0
    pause: float = 0.0
    stop_pause: float = 0.0
    snapshot_bytes: int = 0
    automatic_seconds: float = 0.0
    problem: str = ""
    snapshots: int = field(default=0)
