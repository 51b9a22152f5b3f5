"""The types of the threshold experiment. Sizes in bytes; durations in seconds of CPU time unless stated otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Setting:
    """The collector settings of a run: thresholds as for `gc.set_threshold` (None: this Python's defaults).

    `automatic` False: the collector is off. `frozen`: all objects alive after the start are hidden from it
    (`gc.freeze`). `control`: the reference a second time, to show how much equal runs differ.
    """

    thresholds: tuple[int, int, int] | None = None
    automatic: bool = True
    frozen: bool = False
    control: bool = False


class OperationKind(StrEnum):
    """The kinds of operations in a workload."""

    PAGE = "page"
    QUESTION = "question"
    ANSWER = "answer"
    UPLOAD = "upload"
    DELETE = "delete"


# The kind and its size: characters of a question, bytes of an upload, 0 for the others.
Operation = tuple[OperationKind, int]


@dataclass(frozen=True, slots=True)
class Workload:
    """The operations of each run, in order. `recorded`: they were recorded in this service, not built in.

    `long_lived` is the number of tracked objects before the first operation, as in the service.
    """

    operations: tuple[Operation, ...]
    seed: int = 1
    recorded: bool = False
    long_lived: int = 0


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The measurements of one run.

    `pause` is the sum of all pauses; it and the percentiles are CPU time of the collecting thread, so that other
    processes have no effect on them. `pause_wall` is the sum in wall time. `collections` are by generation. `base` is
    the RSS before the first operation, `peak` the highest during them, `floor` that after a full collection and a trim.
    `seconds` is wall time, `cpu_seconds` the CPU time of the whole process.
    """

    pause: float
    pause_wall: float
    p50: float
    p95: float
    p99: float
    longest: float
    collections: tuple[int, int, int]
    collected: int
    base: int
    peak: int
    floor: int
    tracked: int
    operations: int
    seconds: float
    cpu_seconds: float

    @property
    def throughput(self) -> float:
        """Operations per second of CPU time."""
        return self.operations / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def wall_throughput(self) -> float:
        """Operations per second of wall time."""
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def pause_share(self) -> float:
        """The share of CPU time spent in collections."""
        return self.pause / self.cpu_seconds if self.cpu_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the index of its setting in the result's settings, its round (from 0), and its measurements."""

    setting: int
    round: int
    figures: RunFigures


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """A finished experiment. `settings[0]` is the reference of the comparisons; `counts` the operations by kind;
    `python` the version, `defaults` its thresholds. `began` is in seconds since the epoch, `took` is wall time."""

    id: str
    began: float
    took: float
    actor: str
    python: str
    defaults: tuple[int, int, int]
    settings: tuple[Setting, ...]
    rounds: int
    recorded: bool
    seed: int
    long_lived: int
    counts: dict[str, int]
    runs: tuple[Run, ...]

    def figures_of(self, setting: int) -> list[RunFigures]:
        """Return the measurements of a setting, in the order of the rounds."""
        return [run.figures for run in sorted(self.runs, key=lambda run: run.round) if run.setting == setting]


class ExperimentPhase(StrEnum):
    """The phase of the experiment."""

    NEVER = "never"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """The state of the present or last experiment.

    `run` of `runs` children is at work (from 1; while running), `share` of its operations are done, `setting` is its
    place in `settings`. `remaining` is estimated, in seconds. `message` and `hint` tell of a failure or cancellation,
    `result` is the id of what was found.
    """

    phase: ExperimentPhase = ExperimentPhase.NEVER
    settings: tuple[Setting, ...] = ()
    run: int = 0
    runs: int = 0
    share: float = 0.0
    setting: int = 0
    actor: str = ""
    began: float = 0.0
    remaining: float | None = None
    message: str = ""
    hint: str = ""
    result: str = ""

    @property
    def progress(self) -> float:
        """The share of all operations that are done, from 0 to 1."""
        return min(1.0, max(0.0, (self.run - 1 + self.share) / self.runs)) if self.runs else 0.0
