from __future__ import annotations

import itertools

import pytest

from services.memory.leaks.probes import MOST_KEPT, CensusHistory
from services.memory.objects.types import Census
from tests.memory.leaks.detectors import census


class CountingCensus:
    def __init__(self) -> None:
        self.now = 0.0
        self.taken = 0

    def __call__(self) -> Census:
        self.taken += 1
        return census(self.now, {})


def advance(counter: CountingCensus, history: CensusHistory, seconds: float, *, suspicious: bool) -> None:
    end = counter.now + seconds
    while counter.now < end:
        history.update(counter.now, suspicious=suspicious)
        counter.now += 30.0


def test_calm_process_is_counted_rarely_and_a_suspicious_one_often() -> None:
    """Fails if history cost a calm process more than two an hour, or come too late under suspicion."""
    counter = CountingCensus()
    history = CensusHistory(counter)
    advance(counter, history, 3600, suspicious=False)
    assert counter.taken == 2
    advance(counter, history, 600, suspicious=True)
    assert counter.taken >= 10


def test_a_handful_is_kept_and_the_oldest_stays() -> None:
    """Fails if history pile up, or the baseline from before the growth is dropped."""
    counter = CountingCensus()
    history = CensusHistory(counter)
    advance(counter, history, 24 * 3600, suspicious=True)
    assert len(history.kept) <= MOST_KEPT
    assert history.kept[0].time == 0.0
    assert history.kept[-1].time >= 24 * 3600 - 120


def test_since_begins_before_the_moment() -> None:
    """Fails if growth is measured without a census from before it."""
    counter = CountingCensus()
    history = CensusHistory(counter)
    advance(counter, history, 300, suspicious=True)
    chosen = history.since(130.0)
    assert chosen[0].time <= 130.0 < chosen[1].time
    assert chosen[-1] is history.kept[-1]


def test_census_that_fails_is_tried_again_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a broken census breaks the verdict or floods the log, or one failure ends them for good."""
    real = {"now": 1000.0}
    monkeypatch.setattr("services.memory.leaks.probes.time.perf_counter", lambda: real["now"])
    calls = []

    def broken() -> Census:
        calls.append(real["now"])
        if len(calls) < 4:
            raise RuntimeError("no")
        return census(real["now"], {})

    history = CensusHistory(broken)
    while not history.kept:
        history.update(real["now"], suspicious=True)
        real["now"] += 10.0
    waits = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert waits == sorted(waits)
    assert 30.0 <= waits[0] < waits[-1] <= 600.0
