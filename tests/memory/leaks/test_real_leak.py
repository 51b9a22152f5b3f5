"""A real leak and something that only looks like one, each with the real service in a process of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.memory.leaks.types import LeakKind, VerdictState
from tests.benchmarks.leaks.outcome import Outcome
from tests.benchmarks.leaks.real.library import scenario
from tests.benchmarks.leaks.real.runner import run_one

LEAK = "responses by request id"
BUFFER = "deque that fills"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """The leak's run ends when it is named; the buffer is full after 20 minutes of the service's clock."""
    minutes = {LEAK: 40.0, BUFFER: 22.0}
    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(run_one, scenario(name), minutes=most) for name, most in minutes.items()}
        return {name: job.result() for name, job in jobs.items()}


@pytest.mark.timeout(600)
def test_a_real_leak_is_named_with_its_kind_and_its_holder(outcomes: dict[str, Outcome]) -> None:
    """Fails when sampler, ledger, census and detector do not find together what each finds alone."""
    found = outcomes[LEAK]
    assert found.verdict.state is VerdictState.LEAK, found.detail
    assert found.verdict.kind is LeakKind.PYTHON, found.verdict.evidence
    assert found.right_suspect, found.verdict.suspects


@pytest.mark.timeout(600)
def test_a_buffer_that_fills_is_not_called_a_leak(outcomes: dict[str, Outcome]) -> None:
    """Fails when a service at work, or a buffer that grows to its limit, is called a leak."""
    found = outcomes[BUFFER]
    assert found.verdict.state in {VerdictState.FLAT, VerdictState.WATCH}, (found.verdict, found.detail)
