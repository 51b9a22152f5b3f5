"""The types of the memory budget: limit, watermarks, actions, decisions. Sizes in bytes, durations in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from services.core.machine import MEGABYTE
from services.core.memory_report import Owner

# Watermarks of a small limit keep this distance from each other and from the limit.
MIN_DISTANCE_BYTES = 16 * MEGABYTE
# Where the limit is little above the RSS when ready, shares of it would lie at or under that RSS: watermarks then
# lie at these shares of the headroom between the two, from soft to hard, and hysteresis is a share of it too.
_HEADROOM_SHARES = (0.3, 0.5, 0.7)
_HYSTERESIS_HEADROOM_SHARE = 0.15
_MIN_HYSTERESIS_BYTES = 4 * MEGABYTE


class BudgetLevel(IntEnum):
    """The highest watermark that use has been over for its sustained time; CALM: none."""

    CALM = 0
    SOFT = 1
    HIGH = 2
    HARD = 3


class LimitSource(StrEnum):
    """The source of the limit."""

    CONFIGURED = "configured"
    CONTAINER = "container"
    SHARE = "share_of_ram"


@dataclass(frozen=True, slots=True)
class Watermark:
    """A watermark at a share of the limit.

    It is reached when use was over `share` for `sustained_seconds`, and left when use was under `share - hysteresis`
    for `release` seconds (None: the same as `sustained_seconds`).
    """

    level: BudgetLevel
    share: float
    sustained_seconds: float
    hysteresis: float
    release: float | None = None

    @property
    def release_seconds(self) -> float:
        """Seconds that use must be under the watermark before it counts as left."""
        return self.sustained_seconds if self.release is None else self.release


@dataclass(frozen=True, slots=True)
class Budget:
    """The limit in bytes (0: none), its source, and the watermarks from soft to hard.

    `floor` is the RSS when the service was ready, in bytes (0: not known yet): a watermark above it is left when use
    falls to it, however wide the hysteresis.
    """

    limit: int
    source: LimitSource
    watermarks: tuple[Watermark, ...]
    floor: int = 0

    def reached_bytes(self, level: BudgetLevel) -> int:
        """Return the bytes at which a watermark is reached; 0 for CALM."""
        # From hard to soft: each keeps its distance from the one above.
        ceiling = self.limit
        distance = MIN_DISTANCE_BYTES if self.limit > 8 * MIN_DISTANCE_BYTES else self.limit // 8
        for mark in reversed(self.watermarks):
            ceiling = max(0, min(self._unspaced(mark), ceiling - distance))
            if mark.level is level:
                return ceiling
        return 0

    def left_bytes(self, level: BudgetLevel) -> int:
        """Return the bytes under which a watermark is left."""
        over = self.reached_bytes(level)
        for mark in self.watermarks:
            if mark.level is level:
                hysteresis = int(mark.hysteresis * self.limit)
                if 0 < self.floor < self.limit:
                    hysteresis = min(hysteresis, int(_HYSTERESIS_HEADROOM_SHARE * (self.limit - self.floor)))
                usual = over - max(hysteresis, _MIN_HYSTERESIS_BYTES)
                nearest = over - _MIN_HYSTERESIS_BYTES
                return max(0, usual, min(nearest, self.floor + MIN_DISTANCE_BYTES) if self.floor < nearest else usual)
        return 0

    def _unspaced(self, mark: Watermark) -> int:
        """Return the bytes of a watermark regardless of the others."""
        share = int(mark.share * self.limit)
        if not 0 < self.floor < self.limit:
            return share
        return max(share, self.floor + int(_HEADROOM_SHARES[mark.level - 1] * (self.limit - self.floor)))


@dataclass(frozen=True, slots=True)
class BudgetAction:
    """An action that the budget runs at `level`; actions run in the order in which they are added.

    `estimate` returns the bytes it would free (None: unknown). `run` does it and returns the outcome in words. `undo`
    reverts it when the level falls, in reverse order (None: it can be repeated after `cool_down` seconds instead).
    `skip_reason` returns why it would not help now ("": it would); it must be quick, and a skipped action is recorded
    with its reason. `patience` is how many seconds the level must have lasted first. `timeout` is for actions that may
    take longer than half a second: they run in a thread of their own, which is waited for at most so many seconds (0:
    in the watching thread). `run_for` runs instead of `run` where a person wants it, whose name it gets.
    """

    name: str
    level: BudgetLevel
    label: str
    explanation: str
    run: Callable[[], str]
    undo: Callable[[], str] | None = None
    estimate: Callable[[], int | None] = lambda: None
    skip_reason: Callable[[], str] = lambda: ""
    cool_down: float = 60.0
    patience: float = 0.0
    timeout: float = 0.0
    run_for: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class BudgetReading:
    """RSS, the bytes that count against the limit, and the budget, read at `time` (seconds since the epoch)."""

    time: float
    rss: int
    used: int
    budget: Budget


class DecisionKind(StrEnum):
    """The kind of a decision."""

    LEVEL = "level"  # another level was reached; `step` is ""
    TAKEN = "taken"
    UNDONE = "undone"
    PASSED_OVER = "passed_over"  # the action would not have helped; `outcome` says why
    FAILED = "failed"  # the action raised or took too long; `outcome` says how
    REFUSED = "refused"  # work was refused or delayed for lack of memory; `step` is ""
    MODE = "mode"  # a person paused or resumed the budget, or switched the dry run; `step` is ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the budget did, or in a dry run would have done, and why: `evidence` has the figures in words.

    `step` is the action's name. `rss_after` equals `rss_before` where nothing was done. The owners' bytes are there
    where an action was run. `actor` is "millpond" for the budget itself, else the person's name.
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
        """The RSS freed in bytes, negative where it grew."""
        return self.rss_before - self.rss_after


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """The status of one action: `estimate_bytes` (None: unknown), `skip_reason` why it would not help ("": it would).

    `active` is for actions that can be undone; `by` is the person who ran it ("": the budget); `last` and `taken` are
    of this process; `freed_bytes` is what its last run freed.
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
    freed_bytes: int | None
    estimate_bytes: int | None
    skip_reason: str


@dataclass(frozen=True, slots=True)
class GovernorState:
    """The state of the budget. `active` are the names of actions in force, `since` when the level was reached.

    `rss_bytes` is that of this process; `used_bytes` is what counts against the limit: the same, or the control group's
    use where the limit is the container's and other processes in it use more. `reserved_bytes` are reserved for work in
    progress. `warning` says what no action can help against ("": nothing), e.g. a limit under the RSS when ready.
    """

    budget: Budget
    level: BudgetLevel
    since: float
    rss_bytes: int
    dry_run: bool
    enabled: bool
    active: tuple[str, ...]
    next_step: str = ""
    used_bytes: int = 0
    reserved_bytes: int = 0
    ready_rss_bytes: int = 0  # RSS when ready, 0: not known yet
    peak_bytes: int = 0  # the highest use that was seen since the start
    warning: str = ""
    measured_at: float = 0.0  # when RSS and use were read, in seconds since the epoch
