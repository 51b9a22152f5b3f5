"""Kinds, limits and outcomes of requests, and what is known of running and of finished ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RequestKind(StrEnum):
    """Kinds of requests; each has limits of its own."""

    ANSWER = "answer"
    SEARCH = "search"
    UPLOAD = "upload"
    DIAGNOSTIC = "look"  # a census, a snapshot, an experiment; API and metrics have the value since 0.1


class Outcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"  # the queue was full
    FAILED = "failed"
    DROPPED = "dropped"  # nobody closed it: its scope became garbage


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one kind: at once for one user, at once in all, waiting, and seconds for each.

    The seconds count from the slot on, not from the wait for it.
    """

    per_user: int
    total: int
    waiting: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """A request that runs or waits. `position` is its place in the queue from 1, 0 when it runs; times in seconds since
    the epoch; bytes are the process's RSS when it began (None while it waits)."""

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
    """A request that has ended. `asked` in seconds since the epoch, `waited` and `seconds` in seconds, bytes are the
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
