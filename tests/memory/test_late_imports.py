from __future__ import annotations

import subprocess
import sys
from types import ModuleType

from services.core.events import EventKind
from services.memory.late_imports import QUIET_SECONDS, LateImports
from tests.memory.leaks.detectors import MB, RecordedEvents

_REAL = """
import sys
from services.memory.late_imports import LateImports
from tests.memory.leaks.detectors import RecordedEvents
events, now = RecordedEvents(), [0.0]
late = LateImports(events, {"langchain_core": "chat model library loaded"}, now=lambda: now[0])
import services.chat.models.openai_server
late.check()
now[0] += 5.0
late.check()
((kind, detail, figures),) = events.events
print(kind, detail, int(figures["bytes"]), int(figures["modules"]), sep="|")
"""


class Modules:
    """What was imported, RSS and the time, as a test sets them."""

    def __init__(self) -> None:
        self.known: dict[str, ModuleType] = {"console": ModuleType("console")}
        self.rss = 500 * 2**20
        self.now = 0.0
        self.recorded = RecordedEvents()
        self.late = LateImports(
            self.recorded,
            {"langchain_core": "chat model library loaded"},
            modules=lambda: self.known,
            rss=lambda: self.rss,
            now=lambda: self.now,
        )

    def load(self, package: str, count: int, grown: float) -> None:
        self.known |= {f"{package}.part{n}": ModuleType(package) for n in range(count)}
        self.rss += int(grown)

    def check(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.late.check()


def test_an_import_is_one_event_with_what_it_cost() -> None:
    """Fails if the first use of a library leaves a step that no event explains, or each second of it makes one."""
    process = Modules()
    process.check()
    process.load("langsmith", 200, 15 * MB)
    process.check()
    process.load("langchain_core", 190, 38 * MB)
    process.check(0.5)
    assert process.recorded.events == []
    process.check(QUIET_SECONDS)
    ((kind, detail, figures),) = process.recorded.events
    assert kind is EventKind.LIBRARY
    assert detail == "chat model library loaded (langsmith, langchain_core)"
    assert (figures["bytes"], figures["modules"]) == (53 * 2**20, 390)
    assert figures["rss_before"] == 500 * 2**20
    process.check()
    assert len(process.recorded.events) == 1


def test_a_few_modules_are_nothing_to_look_for() -> None:
    """Fails if the time line fills with small modules, or a big library that nobody expected is left out."""
    process = Modules()
    process.load("quopri", 2, 0.1 * MB)
    process.check()
    process.check(QUIET_SECONDS)
    assert process.recorded.events == []
    process.load("surprise", 1, 9 * MB)
    process.check()
    process.check(QUIET_SECONDS)
    assert process.recorded.of(EventKind.LIBRARY) == ["library loaded: surprise"]


def test_the_chat_models_library_in_a_real_process() -> None:
    """Fails if what the first question to a model imports is not told by its name and size."""
    done = subprocess.run([sys.executable, "-c", _REAL], capture_output=True, text=True, timeout=120, check=True)
    kind, detail, grown, modules = done.stdout.strip().split("|")
    assert (kind, detail.partition(" (")[0]) == (EventKind.LIBRARY, "chat model library loaded")
    assert int(grown) > 10 * 2**20
    assert int(modules) > 100
