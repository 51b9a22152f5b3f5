"""The words of the memory budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How far RSS has come: under all watermarks, or over one of them for its sustained time."""

    CALM = 0
    SOFT = 1
    HIGH = 2
    HARD = 3


class LimitSource(StrEnum):
    """Where the limit comes from."""

    CONFIGURED = "configured"
    CONTAINER = "container"
    SHARE = "share_of_ram"


@dataclass(frozen=True, slots=True)
class Watermark:
    """A share of the limit. It is reached when RSS was over `share` for `sustained` seconds, and left when RSS was
    under `share - hysteresis` for as long."""

    level: Level
    share: float
    sustained: float
    hysteresis: float


@dataclass(frozen=True, slots=True)
class Budget:
    """The limit in bytes, where it comes from, and the watermarks from soft to hard."""

    limit: int
    source: LimitSource
    watermarks: tuple[Watermark, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the budget does at `level`. The order in which steps are given is that in which they are taken.

    `estimate` says what it would free (bytes, None: unknown), `take` does it and returns the outcome in words, `undo`
    ends it on the way back, in the reverse order (None: it happens once and may be repeated after `cool_down` seconds).
    `needed` says whether it would help at all; where it would not, the step is passed over and the reason told.
    """

    name: str
    level: Level
    label: str
    explanation: str
    take: Callable[[], str]
    undo: Callable[[], str] | None = None
    estimate: Callable[[], int | None] = lambda: None
    needed: Callable[[], str] = lambda: ""  # why it would not help, "" when it would
    cool_down: float = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What the budget did, or in a dry run would have done, and why: `evidence` in words with its figures."""

    time: float
    level: Level
    step: str
    label: str
    evidence: str
    outcome: str
    rss_before: int
    rss_after: int
    dry_run: bool
    undone: bool = False


@dataclass(frozen=True, slots=True)
class GovernorState:
    """How the budget stands. `active` are the names of steps in force, `since` when the level was reached."""

    budget: Budget
    level: Level
    since: float
    rss: int
    dry_run: bool
    enabled: bool
    active: tuple[str, ...]
    next_step: str = ""
