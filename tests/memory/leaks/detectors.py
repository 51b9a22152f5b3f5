"""A detector over a real history whose samples the test supplies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from services.core.events import EventKind, NullEventSink
from services.memory.clock import Clock
from services.memory.history.history import History
from services.memory.leaks.detector import Detector
from services.memory.leaks.probes import Probes
from services.memory.leaks.types import Verdict
from services.memory.objects.types import Census, ContainerCount, TypeCount
from services.memory.types import Sample

MB = 2.0**20
START = 1_760_000_000.0
Columns = Callable[[float], Mapping[str, float]]


class ManualClock(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.now = START

    def time(self) -> float:
        return self.now


@dataclass
class RecordedEvents(NullEventSink):
    """An event sink that records."""

    events: list[tuple[EventKind, str, dict[str, float]]] = field(default_factory=list)

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        self.events.append((kind, detail, figures))

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:  # noqa: ARG002 - whoever it was
        self.event(kind, detail, **figures)

    def of(self, kind: EventKind) -> list[str]:
        return [detail for known, detail, _figures in self.events if known is kind]


class Process:
    """A made-up process with a real history and detector; `columns` gives its samples by the second."""

    def __init__(self, columns: Columns, probes: Probes | None = None) -> None:
        self.clock, self.history, self.recorded = ManualClock(), History(), RecordedEvents()
        self.columns = columns
        self.chance = np.random.default_rng(1)
        self.detector = Detector(self.clock, self.history, probes, self.recorded)

    @property
    def age(self) -> float:
        return self.clock.now - START

    def run(self, seconds: float, *, step: float = 1.0, judge: float = 30.0) -> Verdict:
        """Let `seconds` pass with a sample every `step` and a judgement every `judge`; return the last verdict."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            values = dict(self.columns(self.age))
            values.setdefault("live", 400 * MB)
            values["live"] += abs(self.chance.normal(0, 0.5)) * MB
            values.setdefault("rss", values["live"] + 200 * MB)
            self.history.add(Sample(self.clock.now, values))
            if self.age % judge < step:
                self.detector.judge()
            self.clock.now += step
        return self.detector.verdict


def census(
    time: float, types: Mapping[str, tuple[int, int]], containers: tuple[ContainerCount, ...] = (), large: int = 0
) -> Census:
    counts = {name: TypeCount(count, size) for name, (count, size) in types.items()}
    return Census(time, counts, containers, 100_000, 50_000_000, large, paused=0.01, took=0.0)
