"""The bodies of the answers about the memory budget. Bytes, and seconds since the epoch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.operations.restarts import Phase

LevelName = Literal["calm", "soft", "high", "hard"]


class RestartIn(BaseModel):
    """Asks for a planned restart."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field("", max_length=200, description="What the time line says")


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
