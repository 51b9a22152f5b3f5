"""The words of the memory budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from services.core.memory_report import Owner
from services.core.settings import MEGABYTE

# Watermarks of a small limit keep so far from each other and from the limit, and hysteresis is at least half of it.
LEAST_DISTANCE = 16 * MEGABYTE
# Where the limit is little more than what the service takes when ready, shares of it would lie at or under that: then
# watermarks lie at these shares of the room between the two, from soft to hard, and hysteresis is a share of it too.
_SHARES_OF_ROOM = (0.3, 0.5, 0.7)
_HYSTERESIS_OF_ROOM = 0.15
_LEAST_HYSTERESIS = 4 * MEGABYTE


class BudgetLevel(IntEnum):
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
    """A share of the limit.

    It is reached when RSS was over `share` for `sustained` seconds, and left when RSS was under `share - hysteresis`
    for `release` seconds (None: as long as `sustained`).
    """

    level: BudgetLevel
    share: float
    sustained: float
    hysteresis: float
    release: float | None = None

    @property
    def release_seconds(self) -> float:
        """How long RSS must be under the watermark before it counts as left."""
        return self.sustained if self.release is None else self.release


@dataclass(frozen=True, slots=True)
class Budget:
    """The limit in bytes (0: none), where it comes from, and the watermarks from soft to hard.

    `floor` is the RSS when the service was ready, in bytes (0: not known yet): a watermark above it can be left again
    by falling to it, however wide its hysteresis.
    """

    limit: int
    source: LimitSource
    watermarks: tuple[Watermark, ...]
    floor: int = 0

    def reached(self, level: BudgetLevel) -> int:
        """Return the bytes at which a watermark is reached; 0 for CALM."""
        # From hard to soft: each keeps its distance to what is above it.
        ceiling = self.limit
        distance = LEAST_DISTANCE if self.limit > 8 * LEAST_DISTANCE else self.limit // 8
        for mark in reversed(self.watermarks):
            ceiling = max(0, min(self._wanted(mark), ceiling - distance))
            if mark.level is level:
                return ceiling
        return 0

    def left(self, level: BudgetLevel) -> int:
        """Return the bytes under which a watermark is left."""
        over = self.reached(level)
        for mark in self.watermarks:
            if mark.level is level:
                hysteresis = int(mark.hysteresis * self.limit)
                if 0 < self.floor < self.limit:
                    hysteresis = min(hysteresis, int(_HYSTERESIS_OF_ROOM * (self.limit - self.floor)))
                usual = over - max(hysteresis, _LEAST_HYSTERESIS)
                nearest = over - _LEAST_HYSTERESIS
                return max(0, usual, min(nearest, self.floor + LEAST_DISTANCE) if self.floor < nearest else usual)
        return 0

    def _wanted(self, mark: Watermark) -> int:
        """Return where a watermark would lie without the others."""
        share = int(mark.share * self.limit)
        if not 0 < self.floor < self.limit:
            return share
        return max(share, self.floor + int(_SHARES_OF_ROOM[mark.level - 1] * (self.limit - self.floor)))

    def level_of(self, used: int) -> BudgetLevel:
        """Return the highest watermark that `used` bytes are over, without regard to time."""
        return max(
            (mark.level for mark in self.watermarks if used >= self.reached(mark.level)), default=BudgetLevel.CALM
        )


@dataclass(frozen=True, slots=True)
class BudgetAction:
    """Something that the budget does at `level`. The order in which steps are given is that in which they are taken.

    `estimate` says what it would free (bytes, None: unknown), `take` does it and returns the outcome in words, `undo`
    ends it on the way back, in the reverse order (None: it happens once and may be repeated after `cool_down` seconds).
    `needed` says whether it would help at all; where it would not, the step is passed over and the reason told; it is
    quick. `patience` is how many seconds the level must have lasted first. `timeout` is for steps that may take longer
    than half a second: they run in a thread of their own and are given up waiting for after so many seconds (0: in the
    watching thread).
    """

    name: str
    level: BudgetLevel
    label: str
    explanation: str
    take: Callable[[], str]
    undo: Callable[[], str] | None = None
    estimate: Callable[[], int | None] = lambda: None
    needed: Callable[[], str] = lambda: ""  # why it would not help, "" when it would
    cool_down: float = 60.0
    patience: float = 0.0
    timeout: float = 0.0


class DecisionKind(StrEnum):
    """What was decided."""

    LEVEL = "level"  # another level was reached; `step` is ""
    TAKEN = "taken"
    UNDONE = "undone"
    PASSED_OVER = "passed_over"  # it would not have helped; `outcome` says why
    FAILED = "failed"  # the step raised or took too long; `outcome` says how
    REFUSED = "refused"  # work was refused or kept waiting because it would not have fitted; `step` is ""
    MODE = "mode"  # a person paused the budget, switched to a dry run, or back; `step` is ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the budget did, or in a dry run would have done, and why: `evidence` in words with its figures.

    Bytes; `rss_after` equals `rss_before` where nothing was done. The owners' bytes are there where they were weighed.
    `actor` is "millpond" for the budget itself, else the person's name.
    """

    time: float
    level: BudgetLevel
    step: str
    label: str
    evidence: str
    outcome: str
    rss_before: int
    rss_after: int
    dry_run: bool
    undone: bool = False
    kind: DecisionKind = DecisionKind.TAKEN
    actor: str = "millpond"
    seconds: float = 0.0
    owners_before: Mapping[Owner, int] = field(default_factory=dict)
    owners_after: Mapping[Owner, int] = field(default_factory=dict)

    @property
    def freed(self) -> int:
        """RSS that was given back, negative where it grew."""
        return self.rss_before - self.rss_after


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """How one step stands: `estimate` in bytes (None: unknown), `reason` why it would not help now ("": it would).

    `active` only for steps that can be undone; `by` is the person who took it ("": the budget); `last` and `taken` are
    of this process, `freed` is what it gave back the last time.
    """

    name: str
    level: BudgetLevel
    label: str
    explanation: str
    undoable: bool
    active: bool
    by: str
    since: float | None
    last: float | None
    taken: int
    freed: int | None
    estimate: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class GovernorState:
    """How the budget stands. `active` are the names of steps in force, `since` when the level was reached.

    `rss` is that of this process; `used` is what is held against the limit: the same, or the control group's use where
    the limit is the container's and others in it use more. `reserved` are bytes promised to work that has begun.
    `warning` says in words what no step can help against ("": nothing), e.g. a limit under the RSS when ready.
    """

    budget: Budget
    level: BudgetLevel
    since: float
    rss: int
    dry_run: bool
    enabled: bool
    active: tuple[str, ...]
    next_step: str = ""
    used: int = 0
    reserved: int = 0
    floor: int = 0  # RSS when ready, 0: not known yet
    peak: int = 0  # the highest use that was seen since the start
    warning: str = ""
