"""Runs scenarios that change the garbage collector in child processes: pytest's own stays as it is.

`run("module:function", *arguments)` calls a scenario and returns its result, as JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from functools import cache
from importlib import import_module
from typing import Any

from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.gc.control import GCControl
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.sampling.gc_pauses import PauseRecorder
from tests.events import RecordingEventSink
from tests.servers import ROOT, environment

SECONDS = 120.0


class Parts:
    """A GCControl with real parts, whose pauses are recorded from the start."""

    def __init__(self, preferences: Preferences | None = None, speed: float = 1.0) -> None:
        self.clock = Clock(speed)
        self.pauses = PauseRecorder(self.clock.time)
        self.pauses.start()
        self.sink = RecordingEventSink()
        self.collector = GCControl(self.clock, LedgerBuilder(self.clock), self.pauses, self.sink, preferences)


class Node:
    """An object in a cycle: only the collector can free it."""

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
def run(scenario: str, *arguments: object) -> dict[str, Any]:
    """Run a scenario in a child process and return its result, cached."""
    command = [sys.executable, "-m", "tests.memory.gc.child", scenario, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run the scenario of the command line and print its result."""
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _colon, function = name.partition(":")
    print(json.dumps(getattr(import_module(f"tests.memory.gc.{module}"), function)(*arguments)))


if __name__ == "__main__":
    main()
