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
class Ear(NullEventSink):
    """A reporter that remembers the events."""

    heard: list[tuple[EventKind, str, dict[str, float]]] = field(default_factory=list)

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        self.heard.append((kind, detail, figures))

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:  # noqa: ARG002 - whoever it was
        self.event(kind, detail, **figures)


@pytest.fixture
def ear() -> Ear:
    """Hears what the tracer reports."""
    return Ear()


@pytest.fixture
def tracer(tmp_path: Path, ear: Ear) -> Iterator[Tracer]:
    """A tracer with a folder of its own; tracing is off before and after."""
    assert not tracemalloc.is_tracing()
    tracer = Tracer(tmp_path, Clock(), ear)
    yield tracer
    tracer.close()
    assert not tracemalloc.is_tracing()
