"""The bodies of requests and answers about tracing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from services.memory.tracing.shelf import LONGEST_NAME, LONGEST_NOTE
from services.memory.tracing.types import MOST_FRAMES, MOST_MINUTES, Change, GroupBy


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class TracingOut(_Out):
    """Whether tracing is on, and what it holds. Bytes and seconds; `until` and `since` in seconds since the epoch.

    `foreign`: something else than Millpond switched it on. `pause`, `stop_pause`: for about how long a snapshot and
    switching off stop the process. `snapshot_bytes`: RAM that a snapshot needs for a moment.
    """

    on: bool
    foreign: bool
    frames: int
    since: float
    until: float
    remaining: float
    traced: int
    peak: int
    overhead: int
    blocks: int
    pause: float
    stop_pause: float
    snapshot_bytes: int
    automatic_seconds: float
    problem: str
    snapshots: int


class CostOut(_Out):
    """How many times longer code takes when it only allocates (`slowdown`) and when it parses JSON (`usual`); what
    each block allocated while tracing is on needs beside itself; Python blocks alive now."""

    frames: int
    slowdown: float
    usual: float
    bytes_per_block: float
    blocks: int


class StartIn(BaseModel):
    """How deep to look, and for how long."""

    frames: int = Field(1, ge=1, le=MOST_FRAMES, description="Calls that are remembered of each allocation")
    minutes: float = Field(15, gt=0, le=MOST_MINUTES, allow_inf_nan=False)


class DescribeIn(BaseModel):
    """A name and a note; what is left out stays as it is."""

    name: str | None = Field(None, max_length=LONGEST_NAME)
    note: str | None = Field(None, max_length=LONGEST_NOTE)


class SnapshotOut(_Out):
    """A snapshot: bytes and blocks traced, different tracebacks stored, its size on disk, and what taking it cost.

    Snapshots with the same `run` are of one stretch of tracing; only these compare well.
    """

    id: str
    name: str
    note: str
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
    automatic: bool
    damaged: bool


class SnapshotsOut(BaseModel):
    """All snapshots, newest first."""

    snapshots: list[SnapshotOut]


class RowOut(BaseModel):
    """A line, file or traceback: bytes and blocks in the newer snapshot, the difference, the source line.

    `traceback` has the calls that led there, most recent call last.
    """

    change: Change
    where: str
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    source: str
    traceback: list[str]


class ComparisonOut(BaseModel):
    """The rows that changed most, first, and the totals of all `row_count`; without `old`: what is in `new`."""

    new: SnapshotOut
    old: SnapshotOut | None
    by: GroupBy
    same_run: bool
    bytes: int
    bytes_diff: int
    blocks: int
    blocks_diff: int
    row_count: int
    rows: list[RowOut]
