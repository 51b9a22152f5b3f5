from __future__ import annotations

import pytest

from services.memory.sampling.gc_pauses import Pause, longest_pauses, summarize_recent


def pause(time: float, seconds: float = 0.001, generation: int = 0) -> Pause:
    return Pause(time, generation, seconds, 0, 0)


def test_only_the_stretch_counts() -> None:
    """Figures of "the last minutes" would be those of the whole run."""
    found = summarize_recent(
        [pause(10, 5.0), *(pause(100 + number, 0.001 * (number + 1)) for number in range(20))], 100
    )
    assert (found.begin, found.count) == (100, 20)
    assert found.total == pytest.approx(0.210)
    assert found.p95 == pytest.approx(0.019)
    assert found.longest == pytest.approx(0.020)


def test_a_shorter_stretch_is_said() -> None:
    """Where the oldest recorded pause is younger than the stretch, the figures would be taken for all of it."""
    assert summarize_recent([pause(500.0 + number) for number in range(10)], 100, recorded=10).begin == 500


def test_no_pause_has_no_figures() -> None:
    """The page would show a p95 of 0 where nothing was measured, or fail."""
    found = summarize_recent([], 100)
    assert (found.count, found.total, found.p95, found.longest) == (0, 0.0, None, None)


def test_the_longest_come_first() -> None:
    """The list would show the newest in place of the worst."""
    assert [one.seconds for one in longest_pauses([pause(1, 0.2), pause(2, 0.9), pause(3, 0.5)], 2)] == [0.9, 0.5]
