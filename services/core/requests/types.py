"""What is known of a request that is under way, and of one that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RequestKind(StrEnum):
    """What a scope is for."""

    ANSWER = "answer"
    SEARCH = "search"
    UPLOAD = "upload"
    DIAGNOSTIC = "look"  # a census, a snapshot, an experiment; API and metrics keep the value


class Outcome(StrEnum):
    """How a scope ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"  # the queue was full
    FAILED = "failed"
    DROPPED = "dropped"  # nobody closed it: its holder let go of it


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much of one kind there may be: at once for one user, at once in all, waiting, and for how many seconds each.

    The seconds begin with the slot, not with the wait for it.
    """

    per_user: int
    total: int
    waiting: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """A scope as others see it. `position` is its place in the queue from 1, 0 when it runs; times in seconds since the
    epoch; bytes are the process's RSS when it began (None while it waits)."""

    id: str
    kind: RequestKind
    user: str
    detail: str
    asked: float
    began: float | None
    position: int
    deadline: float | None
    rss_before: int | None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A scope that has ended. `asked` in seconds since the epoch, `waited` and `seconds` in seconds, bytes are the
    process's RSS; where it never began, `seconds` is 0 and both are the same."""

    id: str
    kind: RequestKind
    user: str
    detail: str
    asked: float
    waited: float
    seconds: float
    outcome: Outcome
    rss_before: int
    rss_after: int
