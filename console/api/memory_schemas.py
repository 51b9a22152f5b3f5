"""The bodies of the answers about memory. Sizes in bytes, times in seconds since the epoch, durations in seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from services.memory.leaks.types import LeakKind, State, SuspectKind
from services.reporting import EventKind


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class OwnerOut(BaseModel):
    """An owner of RSS."""

    name: str
    bytes: int


class SuspectOut(_Out):
    """Something that grows along; `slope` per hour, in bytes or a count of threads or descriptors."""

    kind: SuspectKind
    name: str
    detail: str
    slope: float


class VerdictOut(BaseModel):
    """What the detector says. Slopes are bytes per hour, counts per hour for threads and file descriptors."""

    state: State
    kind: LeakKind | None
    headline: str
    time: float
    since: float | None = Field(description="When this state began")
    window_seconds: float = Field(description="The stretch that the verdict rests on")
    level_bytes: float = Field(description="RSS at its end")
    slope_bytes_per_hour: float | None
    interval: tuple[float, float] | None = Field(description="Of the slope")
    bytes_per_request: float | None
    bytes_per_request_interval: tuple[float, float] | None
    seconds_to_limit: float | None
    evidence: list[str]
    suspects: list[SuspectOut] = Field(description="The likeliest first")


class HeldOut(_Out):
    """Something big that a part reports to hold, under its owner."""

    name: str
    detail: str
    owner: str
    bytes: int
    loads: int
    attributes: dict[str, str]


class MemoryOut(BaseModel):
    """The memory of the process: the newest sample, ledger and verdict.

    The owners add up to `ledger_rss_bytes`, RSS when the ledger was taken. Before the first ledger there are none, and
    `unattributed_bytes`, `ledger_rss_bytes` and `ledger_time` are null.
    """

    time: float
    rss_bytes: int
    limit_bytes: int | None = Field(description="What RSS is held against; null: not known")
    owners: list[OwnerOut] = Field(description="The biggest first")
    unattributed_bytes: int | None
    ledger_rss_bytes: int | None
    ledger_time: float | None
    ledger_seconds: float | None = Field(description="What taking the ledger cost")
    held: list[HeldOut]
    unknown: list[str] = Field(description="What this system cannot tell, in words")
    verdict: VerdictOut
    sampler_cpu: float | None = Field(description="CPU of all watching, 1.0 being one core")
    latest: dict[str, float] = Field(description="The newest sample by column")


class HistoryOut(BaseModel):
    """A stretch of the history, column by column, null where nothing is known.

    `minima` and `maxima` are there when asked for. Where `runs` changes, the process was started anew.
    """

    start: float
    end: float
    step_seconds: float
    times: list[float]
    runs: list[int]
    columns: dict[str, list[float | None]]
    minima: dict[str, list[float | None]] | None = None
    maxima: dict[str, list[float | None]] | None = None


class EventOut(_Out):
    """Something that happened; `figures` by name: bytes, seconds or counts as the name says."""

    time: float
    kind: EventKind
    detail: str
    figures: dict[str, float]
    actor: str


class EventsOut(BaseModel):
    """The newest events of a stretch of time, oldest first."""

    events: list[EventOut]


class TrimOut(BaseModel):
    """What giving free pages back has brought, and what the detector says after it."""

    rss_before_bytes: int
    rss_after_bytes: int
    freed_bytes: int
    words: str = Field(description="What that says about the growth")
    verdict: VerdictOut
