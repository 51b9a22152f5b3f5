"""The bodies of the answers about the memory budget. Bytes, and times in seconds since the epoch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.admission import Door
from services.memory.governor.types import DecisionKind, Level, LimitSource
from services.operations.restarts import Phase

LevelName = Literal["calm", "soft", "high", "hard"]
LEVEL_NAMES: dict[Level, LevelName] = {
    Level.CALM: "calm",
    Level.SOFT: "soft",
    Level.HIGH: "high",
    Level.HARD: "hard",
}


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BudgetIn(_In):
    """Changes what the budget may do; what is left out stays."""

    dry_run: bool | None = Field(None, description="Only say what would be done")
    paused: bool | None = Field(None, description="Decide nothing; what is in force is undone")


class StepIn(_In):
    """Takes a step now, or ends it."""

    undo: bool = False


class RestartIn(_In):
    """Asks for a planned restart."""

    reason: str = Field("", max_length=200, description="What the time line says")


class WatermarkOut(BaseModel):
    """A watermark: reached at `reached_bytes` after `sustained_seconds`, left under `left_bytes`."""

    level: LevelName
    share: float
    reached_bytes: int
    left_bytes: int
    sustained_seconds: float


class StepOut(BaseModel):
    """A step, in the order in which they are taken."""

    name: str
    level: LevelName
    label: str
    explanation: str
    undoable: bool
    active: bool
    by: str
    since: float | None
    last: float | None
    taken: int
    freed_bytes: int | None
    estimate_bytes: int | None = Field(description="What it would free; null: unknown")
    passed_over_because: str = Field(description="Why it would not help now; empty: it would")


class DecisionOut(BaseModel):
    """What was decided and why."""

    time: float
    level: LevelName
    kind: DecisionKind
    step: str
    label: str
    evidence: str
    outcome: str
    actor: str
    dry_run: bool
    rss_before: int
    rss_after: int
    seconds: float
    owners_before: dict[str, int]
    owners_after: dict[str, int]


class DoorOut(BaseModel):
    """Something that is refused at present."""

    door: Door
    by: str
    reason: str
    hint: str


class RestartOut(BaseModel):
    """How a planned restart stands."""

    phase: Phase
    requested_at: float | None
    actor: str
    reason: str
    deadline: float | None = Field(description="When work that is still under way is broken off")
    successor: str = Field(description="Who starts the next process; empty: nobody, no restart is taken on")
    planned_after_requests: int = Field(description="0: never")
    planned_at: float = Field(description="0: never")
    requests_served: int


class WebhookTestOut(BaseModel):
    """How a test alert fared."""

    arrived: bool
    problem: str = Field(description="Why it did not arrive")


class WebhookOut(BaseModel):
    """Where alerts go; counts are of alerts."""

    address: str = Field(description="Host and port; empty: none is configured")
    signed: bool
    waiting: int
    delivered: int
    failed: int
    dropped: int
    last_problem: str = Field(description="Why the last delivery failed; empty: it arrived, or there was none")


class BudgetOut(BaseModel):
    """The budget: level, use, limit, steps, what is refused, what was decided (the newest first)."""

    level: LevelName
    since: float
    used_bytes: int
    rss_bytes: int
    reserved_bytes: int
    ready_rss_bytes: int = Field(description="RSS when the service was ready; 0: not known yet")
    peak_bytes: int
    limit_bytes: int = Field(description="0: none is known")
    limit_source: LimitSource
    watermarks: list[WatermarkOut]
    dry_run: bool
    paused: bool
    warning: str
    next_step: str
    steps: list[StepOut]
    doors: list[DoorOut]
    refused: dict[str, int] = Field(description="Since the start, by door, and for want of room")
    ingestion_pause_seconds: float
    decisions: list[DecisionOut]
    restart: RestartOut
    webhook: WebhookOut
