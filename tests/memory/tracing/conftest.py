from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.core.events import EventKind, NullEventSink
from services.memory.clock import Clock
from services.memory.tracing.tracer import Tracer


@dataclass
class RecordedEvents(NullEventSink):
    """An event sink that records."""

    recorded: list[tuple[EventKind, str, dict[str, float]]] = field(default_factory=list)

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        self.recorded.append((kind, detail, figures))

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:  # noqa: ARG002 - whoever it was
        self.event(kind, detail, **figures)


@pytest.fixture
def events() -> RecordedEvents:
    """The events that the tracer reports."""
    return RecordedEvents()


@pytest.fixture
def tracer(tmp_path: Path, events: RecordedEvents) -> Iterator[Tracer]:
    """A tracer with a folder of its own; tracing is off before and after."""
    assert not tracemalloc.is_tracing()
    tracer = Tracer(tmp_path, Clock(), events)
    yield tracer
    tracer.close()
    assert not tracemalloc.is_tracing()
