"""What tests of the pool of parsers wait for and do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from services.knowledge.parsing import ParsedFile, ParserPool


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition, return whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return condition()


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has not been seen off."""
    return not psutil.pid_exists(pid)


def run(pool: ParserPool, path: Path, name: str = "a.md", **options: object) -> ParsedFile:
    return pool.parse(path, name, **{"chunk_tokens": 200, "overlap": 24, **options})  # type: ignore[arg-type]


def expect(kind: type[Exception], action: Callable[[], object]) -> None:
    with pytest.raises(kind):
        action()
