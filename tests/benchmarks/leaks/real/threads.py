"""Threads and tasks that never end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows

_pools: list[ThreadPoolExecutor] = []
_tasks: set[asyncio.Task[Any]] = set()


def executors(_services: Services) -> Step:
    """An executor for each call that is never shut down (concurrent.futures: "Executor.shutdown")."""

    def step(number: int) -> None:
        if number % 2 == 0:
            pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="fetch")
            pool.submit(rows, number, 10).result()
            _pools.append(pool)

    return step


def waiting_threads(_services: Services) -> Step:
    """A thread for each request that waits for an answer which never comes."""

    def step(number: int) -> None:
        if number % 2 == 0:
            answered = threading.Event()
            threading.Thread(target=answered.wait, name=f"notify-{number}", daemon=True).start()

    return step


def tasks(_services: Services) -> Step:
    """Tasks that wait for ever, kept in a set so that they are not collected (asyncio: "create_task")."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="events", daemon=True).start()

    async def follow(number: int) -> None:
        page = rows(number, 250)
        await asyncio.Event().wait()
        page.clear()

    async def begin(number: int) -> None:
        _tasks.add(asyncio.create_task(follow(number)))

    return lambda number: asyncio.run_coroutine_threadsafe(begin(number), loop).result()


SCENARIOS = (
    Scenario("executor per call", executors, LeakKind.THREADS, ("fetch", "_pools", "ThreadPoolExecutor"), per_step=0.5),
    Scenario("threads that wait for ever", waiting_threads, LeakKind.THREADS, ("notify",), per_step=0.5),
    Scenario(
        "asyncio tasks kept for ever",
        tasks,
        LeakKind.PYTHON,
        ("_tasks", "Task", "follow", "coroutine"),
        per_step=85_000,
    ),
)
