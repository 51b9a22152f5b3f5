"""Harmless: single steps, warm-up, saws and swings, memory that only the allocator keeps."""

from __future__ import annotations

import gc
import math
import tracemalloc
from typing import Any

from services.app.container import Services
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows, text

_kept: dict[str, Any] = {}
_fragments: list[bytes] = []

DAY = 1200.0  # seconds on the service's clock: a day in a hurry


def one_big_load(_services: Services) -> Step:
    """A dictionary and a table are loaded once, after a while, and stay."""
    import numpy as np

    def step(number: int) -> None:
        if number == 150:
            _kept["dictionary"] = {f"word-{i}": i * 1.5 for i in range(400_000)}
            _kept["table"] = np.random.default_rng(1).random(8_000_000)

    return step


def warm_up(services: Services) -> Step:
    """Each new shape of a batch makes oneDNN prepare and keep a kernel; there are 200 shapes."""

    def step(number: int) -> None:
        lengths = 1 + number % 20
        batch = 1 + (number // 20) % 10
        services.embedder.embed_chunks([text(i, 40 * lengths) for i in range(batch)])

    return step


def fragmentation(_services: Services) -> Step:
    """Many small blocks are freed but for a few, which keep their pages from going back."""

    def step(number: int) -> None:
        if number % 40 == 0:
            blocks = [bytes(600 + (i + number) % 1400) for i in range(60_000)]
            _fragments[:] = blocks[::60]

    return step


def saw_of_cycles(_services: Services) -> Step:
    """Cycles that are collected every 100 requests by a collector that runs by plan."""
    gc.disable()

    def step(number: int) -> None:
        page: list[Any] = [rows(number, 600)]
        page.append(page)
        if number % 100 == 99:
            gc.collect()

    return step


def daily_rate(seconds: float) -> float:
    """Return requests a minute: a night at 2, a day at 18."""
    return 10.0 - 8.0 * math.cos(2 * math.pi * seconds / DAY)


def daily_swing(services: Services) -> Step:
    """Visitors come in the morning and leave in the evening, each with 3 MB."""
    visitors: dict[int, Any] = {}
    clock = services.clock
    began = clock.time()
    _kept["visitors"] = visitors

    def step(number: int) -> None:
        present = int(2.5 * daily_rate(clock.time() - began))
        while len(visitors) > present:
            visitors.pop(next(iter(visitors)))
        while len(visitors) < present:
            visitors[number * 100 + len(visitors)] = rows(number, 7_000)

    return step


def tracing(_services: Services) -> Step:
    """tracemalloc is switched on for a while: its tables grow with what is allocated meanwhile, then go."""

    def step(number: int) -> None:
        if number == 120:
            tracemalloc.start(1)
        if number == 240:
            tracemalloc.stop()

    return step


SCENARIOS = (
    Scenario("one big load", one_big_load),
    Scenario("warm-up of torch", warm_up),
    Scenario("fragmented heap", fragmentation),
    Scenario("saw of cycles", saw_of_cycles),
    Scenario("daily swing", daily_swing, rate=daily_rate),
    Scenario("tracemalloc on and off", tracing),
)
