from __future__ import annotations

import pytest

from services.memory.leaks.messages import duration_text, headline, number_text, size_text
from services.memory.leaks.types import LeakKind, Verdict, VerdictState

MB = 2.0**20


def test_flat() -> None:
    """Fails if the headline of a flat process does not say for how long, how much and how sure."""
    verdict = Verdict(
        VerdictState.FLAT, 0.0, 6 * 3600, 641 * MB, slope_per_hour=0.2 * MB, interval=(-0.4 * MB, 0.7 * MB)
    )
    assert headline(verdict) == "Flat for 6 h: 641 MB, +0.2 MB/h (−0.4 to 0.7)"


def test_minutes_are_not_counted_up_to_an_hour() -> None:
    """Fails if a megabyte in ten minutes is told as six an hour of a process that is called flat."""
    slope, interval = 6 * 2.0**20, (3 * 2.0**20, 12 * 2.0**20)
    verdict = Verdict(
        VerdictState.FLAT, 0.0, window_seconds=600.0, level_bytes=641 * 2.0**20, slope_per_hour=slope, interval=interval
    )
    assert headline(verdict) == "Flat for 10 min: 641 MB, +1.0 MB in that time (0.5 to 2.0)"


def test_leak() -> None:
    """Fails if the headline of a leak leaves out the kind, the growth or the limit."""
    verdict = Verdict(
        VerdictState.LEAK,
        0.0,
        7200,
        641 * MB,
        kind=LeakKind.PYTHON,
        slope_per_hour=30 * MB,
        interval=(28 * MB, 32 * MB),
        seconds_to_limit=5 * 3600,
    )
    assert headline(verdict) == "Leak of Python objects: +30 MB/h (28 to 32) for 2 h, 641 MB; limit in 5 h"


def test_watch_of_a_count() -> None:
    """Fails if threads are told in MB."""
    verdict = Verdict(
        VerdictState.WATCH, 0.0, 1800, 641 * MB, kind=LeakKind.THREADS, slope_per_hour=24, interval=(20.6, 30)
    )
    assert headline(verdict) == "Watch threads: +24 an hour (21 to 30) for 30 min, 641 MB"


def test_too_little_data() -> None:
    """Fails if a young process is called flat."""
    assert headline(Verdict(VerdictState.UNKNOWN, 0.0, 200)) == "Too little data yet: 3 of 10 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (600, "10 min"), (6900, "115 min"), (7200, "2 h"), (90_000, "25 h"), (400_000, "5 days")],
)
def test_durations(seconds: float, text: str) -> None:
    """Fails if a duration is told in a unit that says nothing."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0"), (-0.04, "0.0"), (-0.4, "−0.4"), (9.94, "9.9"), (9.96, "10"), (1693.2, "1,693")]
)
def test_numbers(value: float, text: str) -> None:
    """Fails if a small number loses its decimal or a rounded zero keeps its sign."""
    assert number_text(value) == text


def test_sizes() -> None:
    """Fails if big sizes are told in thousands of MB."""
    assert size_text(641 * MB) == "641 MB"
    assert size_text(20_480 * MB) == "20.0 GB"
