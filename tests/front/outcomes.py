"""What became of the requests of clients that ask all the while, and what they noticed of a fault."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# What is asked for the first so many seconds after a fault may fail: the front has to notice first.
GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Attempt:
    """One request, by the monotonic clock in seconds: what was asked, and why it failed, "" if it did not.

    `node` is the one that answered, where that is known. `excused`: it was refused with 503 and Retry-After, in words,
    as the database's own outages are.
    """

    client: str
    kind: str
    began: float
    ended: float
    error: str = ""
    excused: bool = False
    node: str = ""


@dataclass(frozen=True)
class Outcome:
    """What clients noticed of a fault.

    Attributes:
        asked: requests that ended after it.
        in_flight: those that failed and had begun before it.
        soon: those that failed and began within `GRACE_SECONDS` after it.
        later: those that failed and began after that.
        excused: those that were told to come again, which none of the others counts.
        gap: the longest time in which one of the clients had no answer, in seconds.
        errors: how often which reason.
        refused: how many of each kind were told to come again.
    """

    asked: int
    in_flight: int
    soon: int
    later: int
    excused: int
    gap: float
    errors: dict[str, int]
    refused: dict[str, int]

    def __str__(self) -> str:
        told = "; ".join(f"{count} x {reason}" for reason, count in self.errors.items())
        failed = f"failed {self.in_flight} in flight, {self.soon} soon, {self.later} later"
        return f"{self.asked} requests, {failed}; gap {self.gap:.2f} s" + (f" ({told})" if told else "")


def outcome_of(attempts: Iterable[Attempt], since: float, until: float = float("inf")) -> Outcome:
    """Return what came of everything that ended within a stretch of time, which a fault began."""
    attempts = sorted(attempts, key=lambda each: each.ended)
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
        refused=dict(Counter(each.kind for each in failed if each.excused)),
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
