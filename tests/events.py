"""An event sink that keeps what it receives, for tests of events."""

from __future__ import annotations

from services.core.events import EventKind, NullEventSink


class RecordingEventSink(NullEventSink):
    """Keeps all events in order: (actor, kind, detail, figures), with the actor "" where there was none."""

    def __init__(self) -> None:
        self.events: list[tuple[str, EventKind, str, dict[str, float]]] = []

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        self.events.append(("", kind, detail, figures))

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        self.events.append((actor, kind, detail, figures))

    @property
    def actions(self) -> list[tuple[str, EventKind, str]]:
        """The events with an actor, without figures."""
        return [(actor, kind, detail) for actor, kind, detail, _figures in self.events if actor]
