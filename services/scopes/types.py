"""What is known of a request that is under way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ScopeKind(StrEnum):
    """What a scope is for."""

    ANSWER = "answer"
    SEARCH = "search"
    UPLOAD = "upload"
    LOOK = "look"  # a look at objects, a snapshot, an experiment


@dataclass(frozen=True, slots=True)
class Running:
    """A scope as others see it. `position` is its place in the queue from 1, 0 when it runs; times in seconds since the
    epoch; bytes are the process's RSS when it began (None while it waits)."""

    id: str
    kind: ScopeKind
    user: str
    detail: str
    asked: float
    began: float | None
    position: int
    deadline: float | None
    rss_before: int | None
