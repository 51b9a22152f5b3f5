from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import structlog

from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.monitor import MemoryMonitor
from services.memory.sampling.sampler import Sampler
from services.memory.types import Sample, Series
from tests.servers import eventually


def test_samples_come_at_their_pace() -> None:
    """One sample a second of the clock, each later than the last, until the sampler is closed."""
    taken: list[Sample] = []
    sampler = Sampler(Clock(100), taken.append)
    sampler.add_source(lambda: {Series.SESSIONS: 3.0})
    sampler.start()
    eventually(lambda: len(taken) >= 20, what="twenty samples")
    sampler.close()
    sampler.close()
    count = len(taken)
    gaps = [after.time - before.time for before, after in pairwise(taken)]
    assert min(gaps) > 0
    assert sum(gaps) >= len(gaps) - 2
    assert taken[-1].values == {Series.SESSIONS: 3.0}
    assert not any(thread.name == "memory-sampler" and thread.is_alive() for thread in threading.enumerate())
    assert len(taken) == count


def test_a_failing_source_is_left_out_and_said_once() -> None:
    """One figure that cannot be had costs neither the others nor a line in the log each second."""
    fails = [True]

    def broken() -> Mapping[str, float]:
        if fails[0]:
            raise OSError("gone")
        return {Series.SWAP: 1.0}

    sampler = Sampler(Clock(), lambda _sample: None, seconds=0.0)
    sampler.add_source(broken)
    sampler.add_source(lambda: {Series.SESSIONS: 3.0})
    with structlog.testing.capture_logs() as lines:
        assert [sampler.sample().values for _ in range(5)] == [{Series.SESSIONS: 3.0}] * 5
        fails[0] = False
        eventually(lambda: Series.SWAP in sampler.sample().values, what="the source that works again")
        fails[0] = True
        eventually(lambda: Series.SWAP not in sampler.sample().values, what="the source that fails again")
    assert [line["source"] for line in lines if line["log_level"] == "error"] == [
        "test_a_failing_source_is_left_out_and_said_once.<locals>.broken"
    ] * 2


def test_a_sink_that_fails_does_not_end_sampling() -> None:
    """The sampler goes on when a sample cannot be kept."""
    taken: list[Sample] = []

    def sink(sample: Sample) -> None:
        taken.append(sample)
        raise OSError("full")

    sampler = Sampler(Clock(100), sink)
    sampler.start()
    eventually(lambda: len(taken) >= 5, what="further samples")
    sampler.close()


def test_a_dear_source_is_asked_less_often() -> None:
    """A figure that takes long must not take a whole core: its last value stands for a while."""
    asked = [0, 0]

    def dear() -> Mapping[str, float]:
        asked[0] += 1
        began = time.thread_time()
        while time.thread_time() - began < 0.05:
            pass
        return {Series.SWAP: float(asked[0])}

    def cheap() -> Mapping[str, float]:
        asked[1] += 1
        return {}

    sampler = Sampler(Clock(), lambda _sample: None, seconds=0.0)
    sampler.add_source(dear, name="dear")
    sampler.add_source(cheap, name="cheap")
    for _ in range(20):
        assert sampler.sample().values[Series.SWAP] == 1.0
    eventually(lambda: sampler.sample() and asked[1] > 1, what="a second look at the cheap source")
    assert asked[0] == 1
    assert sampler.costs()["dear"] == pytest.approx(0.05, abs=0.02)


def test_a_slow_pace_is_kept() -> None:
    """A source with a pace of five seconds is asked every fifth sample, not every sixth."""
    asked = [0]

    def source() -> Mapping[str, float]:
        asked[0] += 1
        return {}

    taken: list[Sample] = []
    sampler = Sampler(Clock(50), taken.append)
    sampler.add_source(source, seconds=5.0)
    sampler.start()
    eventually(lambda: len(taken) >= 50, what="fifty samples")
    sampler.close()
    length = taken[-1].time - taken[0].time
    assert length / 6.5 <= asked[0] <= length / 4.0 + 1


def test_a_whole_monitor_fills_the_columns(tmp_path: Path) -> None:
    """Wired together: what a Linux system provides is in a sample, and reaches the history."""
    monitor = MemoryMonitor(tmp_path, Clock(20), NullEventSink(), limit_bytes=700_000_000)
    monitor.start()
    expected = {
        Series.RSS,
        Series.USS,
        Series.PSS,
        Series.HEAP_USED,
        Series.HEAP_MAPPED,
        Series.PYTHON_BLOCKS,
        Series.PYTHON_USED,
        Series.LIVE,
        Series.THREADS,
        Series.DESCRIPTORS,
        Series.CPU,
        Series.SAMPLER_CPU,
        Series.GC_COUNT_0,
        Series.GC_RUNS_2,
        Series.GC_PAUSE,
        Series.GC_UNCOLLECTABLE,
        Series.AVAILABLE,
        Series.LIMIT,
        Series.TRACED,
    }

    def missing() -> set[Series]:
        newest = monitor.history.latest()
        return expected - set(newest.values) if newest else expected

    eventually(lambda: not missing(), seconds=20, what="the columns")
    monitor.close()
    newest = monitor.history.latest()
    assert newest is not None
    assert newest.values[Series.LIMIT] == 700_000_000
    assert newest.values[Series.USS] <= newest.values[Series.PSS]
    window = monitor.history.window(0, newest.time, columns=(Series.RSS,))
    assert (window.means[Series.RSS] > 1e6).all()
    monitor.close()
