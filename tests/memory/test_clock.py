from __future__ import annotations

import threading
import time

import pytest

from services.memory import clock as clock_module
from services.memory.clock import Clock


class SystemClock:
    """Stands in for the module `time`: a wall clock that can be set, and the real monotonic one."""

    def __init__(self) -> None:
        self.shift = 0.0
        self.monotonic = time.monotonic

    def time(self) -> float:
        return time.time() + self.shift


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    system = SystemClock()
    monkeypatch.setattr(clock_module, "time", system)
    return system


def test_a_clock_that_is_set_back_is_not_followed(system: SystemClock) -> None:
    """Samples whose time goes back would lie on top of each other."""
    clock = Clock()
    before = clock.time()
    system.shift = -3600.0
    assert clock.time() >= before


def test_a_machine_that_slept_is_followed(system: SystemClock) -> None:
    """After a night's sleep the curves must not be a night late; from many threads at once the time is the same."""
    clock = Clock()
    system.shift = 8 * 3600.0
    readings: list[float] = []
    threads = [threading.Thread(target=lambda: readings.append(clock.time())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(moment == pytest.approx(system.time(), abs=2.0) for moment in readings)
    system.shift = 0.0
    assert clock.time() >= max(readings)


def test_a_fast_clock_runs_ahead_of_the_system(system: SystemClock) -> None:
    """An accelerated clock counts its own seconds, whatever the system's clock does."""
    clock = Clock(1000.0)
    began = clock.time()
    assert not clock.wait(threading.Event(), 100.0)
    system.shift = 1e6
    assert 100.0 <= clock.time() - began < 1e6
