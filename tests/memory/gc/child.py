"""Processes of their own for what changes the garbage collector: pytest's stays as it is.

`run("module:function", *arguments)` calls a function of a test module's scenes and returns what it returns, as JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from services.core.events import EventKind, NullEventSink
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.gc.control import GCControl
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.sampling.gc_pauses import PauseRecorder
from tests.servers import ROOT, environment

SECONDS = 120.0


@dataclass
class Ear(NullEventSink):
    """A reporter that remembers who did what."""

    heard: list[tuple[str, str, str]] = field(default_factory=list)

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:  # noqa: ARG002 - the words count
        self.heard.append((actor, kind.value, detail))


class Parts:
    """A collector with everything real around it, watched from the first line on."""

    def __init__(self, preferences: Preferences | None = None, speed: float = 1.0) -> None:
        self.clock = Clock(speed)
        self.pauses = PauseRecorder(self.clock.time)
        self.pauses.start()
        self.ear = Ear()
        self.collector = GCControl(self.clock, LedgerBuilder(self.clock), self.pauses, self.ear, preferences)


class Node:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


def containers(count: int) -> list[object]:
    """Return a list of so many empty lists: each is a net allocation."""
    return [[] for _ in range(count)]


def old_garbage(count: int) -> None:
    """Leave cycles where only a full collection finds them, with none in between."""
    gc.disable()
    nodes = [Node() for _ in range(count)]
    gc.collect(1)
    del nodes
    gc.enable()


@cache
def run(scene: str, *arguments: object) -> dict[str, Any]:
    """Call a scene in a process of its own; asked again, tell what it told."""
    command = [sys.executable, "-m", "tests.memory.gc.child", scene, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Find the scene, play it, print what it returns."""
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _colon, function = name.partition(":")
    print(json.dumps(getattr(import_module(f"tests.memory.gc.{module}"), function)(*arguments)))


if __name__ == "__main__":
    main()
