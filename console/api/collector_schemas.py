"""The bodies of questions and answers about the garbage collector."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Thresholds = tuple[int, int, int]


class _Out(BaseModel):
    """Built from the frozen values of the services."""

    model_config = ConfigDict(from_attributes=True)


class SettingsOut(_Out):
    """Settings of the collector."""

    thresholds: Thresholds
    automatic: bool = Field(description="Python collects by itself")
    policy: bool = Field(description="Millpond's own policy collects at good moments")


class TrialOut(_Out):
    """A change that goes back by itself. Times in seconds since the epoch, durations in seconds."""

    began: float
    until: float
    actor: str
    tried: SettingsOut
    before: SettingsOut
    before_p95: float | None = Field(description="Of the pauses; null while there are too few")
    now_p95: float | None
    verdict: str


class ExplanationOut(_Out):
    """Something that one should know before changing a setting."""

    title: str
    text: str


class PauseOut(_Out):
    """One run of the collector."""

    time: float
    generation: int
    seconds: float
    collected: int
    uncollectable: int
    asked: bool = Field(description="Our own code called for it")


class StoppedOut(BaseModel):
    """A pause, and how many requests, pages and answers stood still meanwhile, by kind."""

    pause: PauseOut
    waiting: dict[str, int]


class PausesOut(BaseModel):
    """The pauses: recorded ones oldest first, all since the start as a histogram, the longest with who waited."""

    recent: list[PauseOut]
    bounds: list[float] = Field(description="Upper bounds of the histogram's buckets in seconds; one more is above all")
    histogram: dict[int, list[int]] = Field(description="Counts per bucket by generation")
    total_seconds: dict[int, float] = Field(description="Sum of all pauses by generation")
    longest: list[StoppedOut]


class CollectorOut(BaseModel):
    """How the collector stands."""

    settings: SettingsOut
    kept: SettingsOut | None = Field(description="What a restart comes up with; null: Python's own")
    defaults: Thresholds
    counts: Thresholds
    collections: Thresholds
    frozen: int
    uncollectable: int
    tracked: int
    pending: int | None = Field(description="Objects that grew old since the last full collection, where Python tells")
    long_lived: int | None = Field(description="Objects that the last full collection left, where Python tells")
    trial: TrialOut | None
    last_trial: TrialOut | None
    policy: str = Field(description="What Millpond's own policy does, in words")
    explanations: list[ExplanationOut]


class SettingsIn(BaseModel):
    """Settings to use; what is left out stays as it is."""

    thresholds: Thresholds | None = Field(None, description="As of gc.set_threshold")
    automatic: bool | None = None
    policy: bool | None = None
    trial_seconds: float | None = Field(
        None, gt=0, le=86_400, description="Go back by itself after so long; null: keep, also after a restart"
    )


class CollectIn(BaseModel):
    """What to collect."""

    generation: int = Field(2, ge=0, le=2)
