"""Harmless: caches, pools and buffers that fill up to their limit and stop there."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.app.container import Services
from services.core.actor import SERVICE
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows, text

_recent: deque[Any] = deque(maxlen=200)
_sessions: dict[str, tuple[int, Any]] = {}
_kept: dict[str, Any] = {}


@functools.lru_cache(maxsize=100)
def _page(number: int) -> str:
    return text(number, 1_500_000)


def filling_cache(_services: Services) -> Step:
    """lru_cache with a limit; the more pages it knows, the rarer a new one is asked for (150 MB)."""
    chance = random.Random(5)
    return lambda _number: _page(chance.randrange(100))


def filling_deque(_services: Services) -> Step:
    """The last 200 results, for a page that shows them (60 MB)."""
    return lambda number: _recent.append(rows(number, 1_000))


def filling_tokenizer(_services: Services) -> Step:
    """The word cache of a BPE tokenizer: 10,000 words, about 8 kB each at its worst (tokenizers issue 1539)."""
    from tokenizers import Tokenizer, models, trainers

    tokenizer = _kept["tokenizer"] = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    tokenizer.train_from_iterator([text(0, 400)], trainer)

    def step(number: int) -> None:
        tokenizer.encode_batch([f"{number}.{word} {text(0, 230)}" for word in range(60)])

    return step


def growing_pool(_services: Services) -> Step:
    """A thread pool makes its threads as they are needed, up to its maximum."""
    pool = _kept["pool"] = ThreadPoolExecutor(max_workers=48, thread_name_prefix="render")
    finish = threading.Event()

    def step(number: int) -> None:
        # A pool makes a thread when none is idle: so one stays busy while the next job comes.
        if number % 4 == 0:
            busy = min(1 + number // 4, 47)
            started = [pool.submit(finish.wait) for _ in range(busy)]
            pool.submit(rows, number, 10).result()
            finish.set()
            for job in started:
                job.result()
            finish.clear()

    return step


def expiring_sessions(_services: Services) -> Step:
    """Sessions that are dropped 120 requests after their last use."""

    def step(number: int) -> None:
        _sessions[f"tab-{number}"] = (number, rows(number, 1_600))
        for tab in [tab for tab, (used, _page) in _sessions.items() if used < number - 120]:
            del _sessions[tab]

    return step


def batches_in_and_out(services: Services) -> Step:
    """Documents come in batches and are all deleted when there are enough of them: a sawtooth."""
    import io

    added: list[int] = []

    def step(number: int) -> None:
        if number % 10 == 0:
            for part in range(4):
                content = text(number * 10 + part, 12_000).encode()
                added.append(
                    services.library.add(SERVICE, io.BytesIO(content), f"batch-{number}-{part}.txt").document.id
                )
        if len(added) >= 48:
            services.library.delete(SERVICE, added)
            added.clear()

    return step


def pauses(_services: Services) -> Step:
    """Buffers that live for one request: the high-water mark of RSS, nothing more."""
    import numpy as np

    def step(number: int) -> None:
        pages = np.random.default_rng(number).random((1 + number * 7 % 13) * 200_000)
        time.sleep(0.01)
        pages.sum()

    return step


SCENARIOS = (
    Scenario("lru_cache that fills", filling_cache),
    Scenario("deque that fills", filling_deque),
    Scenario("tokenizer cache that fills", filling_tokenizer),
    Scenario("thread pool up to its maximum", growing_pool),
    Scenario("sessions that expire", expiring_sessions),
    Scenario("batches of documents in and out", batches_in_and_out),
    Scenario("buffers of one request", pauses),
)
