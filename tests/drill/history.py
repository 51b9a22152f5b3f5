"""What clients asked of a pond and were told, in the order in which it ended; what they may rely on afterwards."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# What is asked for the first so many seconds after a fault may fail: the front has to notice first.
GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Attempt:
    """One request, by the monotonic clock in seconds: what was asked, and why it failed, "" if it did not.

    `excused`: it was refused with 503 and Retry-After, in words, as the database's own outages are.
    """

    client: str
    kind: str
    began: float
    ended: float
    error: str = ""
    excused: bool = False


@dataclass(frozen=True)
class Outcome:
    """What clients noticed of a fault.

    Attributes:
        asked: requests that ended after it.
        in_flight: those that failed and had begun before it.
        soon: those that failed and began within `GRACE_SECONDS` after it.
        later: those that failed and began after that, unless they were excused.
        excused: those that were told to come again.
        gap: the longest time in which one of the clients had no answer, in seconds.
        errors: how often which reason.
    """

    asked: int
    in_flight: int
    soon: int
    later: int
    excused: int
    gap: float
    errors: dict[str, int]


@dataclass
class History:
    """Thread-safe. Documents are known by the word that is in them alone."""

    attempts: list[Attempt] = field(default_factory=list)
    added: dict[str, int] = field(default_factory=dict)  # acknowledged: document's id by its word
    deleted: dict[str, float] = field(default_factory=dict)  # acknowledged: when, by the monotonic clock
    doubtful: set[str] = field(default_factory=set)  # nobody knows whether it was done
    asked: dict[str, list[str]] = field(default_factory=dict)  # acknowledged questions by conversation
    wrong: list[str] = field(default_factory=list)  # what must not have been answered
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, attempt: Attempt) -> None:
        """Add what came of a request."""
        with self.lock:
            self.attempts.append(attempt)

    def living(self) -> list[str]:
        """Return the words of documents that were acknowledged, and that nobody has tried to delete."""
        with self.lock:
            return [word for word in self.added if word not in self.deleted and word not in self.doubtful]

    def outcome(self, since: float, until: float) -> Outcome:
        """Return what came of everything that ended within a stretch of time."""
        with self.lock:
            attempts = sorted(self.attempts, key=lambda each: each.ended)
        ended = [each for each in attempts if since <= each.ended <= until]
        failed = [each for each in ended if each.error]
        hard = [each for each in failed if not each.excused]
        return Outcome(
            asked=len(ended),
            in_flight=sum(each.began < since for each in hard),
            soon=sum(since <= each.began < since + GRACE_SECONDS for each in hard),
            later=sum(each.began >= since + GRACE_SECONDS for each in hard),
            excused=len(failed) - len(hard),
            gap=_longest_gap(attempts, since, until),
            errors=dict(Counter(f"{each.kind}: {each.error}" for each in failed)),
        )


def _longest_gap(attempts: Iterable[Attempt], since: float, until: float) -> float:
    """Return the longest time between two answers of one client, of those that end in the stretch."""
    answered: dict[str, list[float]] = {}
    for each in attempts:
        if not each.error:
            answered.setdefault(each.client, []).append(each.ended)
    gaps = [0.0]
    for ends in answered.values():
        gaps += [later - earlier for earlier, later in itertools.pairwise(ends) if since <= later <= until + 1.0]
    return max(gaps)


def now() -> float:
    """Return the monotonic clock, in seconds."""
    return time.monotonic()
