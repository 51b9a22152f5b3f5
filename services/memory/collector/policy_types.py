"""What the policy did and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.texts import _, plural


class Reason(StrEnum):
    """Why the policy collected."""

    IDLE = "idle"
    ALLOCATION = "allocation"
    BIG_WORK = "big_work"


@dataclass(frozen=True, slots=True)
class Level:
    """What is in use: `blocks` of Python's allocator and resident bytes."""

    blocks: int
    rss: int


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """A collection that the policy made. `seconds` is the pause, `found` counts objects, `what` is the big work."""

    time: float
    reason: Reason
    generation: int
    seconds: float
    found: int
    before: Level
    after: Level
    what: str = ""

    @property
    def told(self) -> str:
        """Why and with what result, in words."""
        reasons = {
            Reason.IDLE: _("in a quiet moment"),
            Reason.ALLOCATION: _("because memory in use had grown"),
            Reason.BIG_WORK: _("after big work: {what}").format(what=self.what),
        }
        found = plural("{count} object found", "{count} objects found", self.found)
        return _("generation {number} {why}: {found} in {pause:.0f} ms").format(
            number=self.generation, why=reasons[self.reason], found=found, pause=1000 * self.seconds
        )


@dataclass(frozen=True, slots=True)
class PolicyState:
    """How the policy stands. `told` says in words whether it acts and what it waits for; `grown` is what came since
    the last full collection, whoever made it; `seconds` is the sum of all its pauses, `runs` their number by reason."""

    active: bool
    told: str
    grown: Level
    needed_blocks: int
    seconds: float
    last: PolicyRun | None = None
    runs: Mapping[Reason, int] = field(default_factory=dict)
