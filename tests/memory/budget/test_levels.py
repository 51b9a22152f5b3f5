from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.machine import MEGABYTE
from services.memory.budget.levels import LevelTracker
from services.memory.budget.types import Budget, BudgetLevel, LimitSource, Watermark
from tests.memory.budget.machine import MARKS, SUSTAINED, Machine


def budget(limit: int, floor: int = 0, marks: tuple[Watermark, ...] = MARKS) -> Budget:
    return Budget(limit * MEGABYTE, LimitSource.CONFIGURED, marks, floor * MEGABYTE)


def test_a_peak_is_no_level() -> None:
    """Each short peak would cost caches and conversations."""
    machine = Machine()
    machine.run(4, 750)
    machine.run(1, 300)
    machine.run(4, 750)
    assert machine.level is BudgetLevel.CALM
    machine.run(1.5, 750)
    assert machine.level is BudgetLevel.SOFT


def test_a_jump_passes_all_levels_at_once() -> None:
    """A burst would be over the limit before soft's sustained time had passed."""
    machine = Machine()
    machine.run(1)
    machine.run(0.25, 950)
    assert machine.level is BudgetLevel.HARD


def test_hysteresis_keeps_a_level_until_rss_is_well_under_it() -> None:
    """RSS that sways around a watermark would switch actions on and off without end."""
    machine = Machine(actions=False)
    machine.run(10, 710)
    for _number in range(20):
        machine.run(1, 690)
        machine.run(1, 710)
    assert machine.level is BudgetLevel.SOFT
    machine.run(4.5, 640)
    assert machine.level is BudgetLevel.SOFT
    machine.run(1, 640)
    assert machine.level is BudgetLevel.CALM
    assert len(machine.governor.decisions()) == 2


def test_rss_at_rest_under_a_watermark_leaves_it() -> None:
    """What work has imported stays: with hysteresis alone a tight budget would refuse files until the next restart."""
    machine = Machine(actions=False)
    machine.run(1, 910)
    machine.run(29, 880)
    assert machine.level is BudgetLevel.HARD
    machine.run(2, 880)
    assert machine.level is BudgetLevel.HIGH
    assert "for a while under the hard watermark of 900 MB" in machine.governor.decisions()[0].evidence
    machine.run(60, 880)
    assert machine.level is BudgetLevel.HIGH


def test_it_comes_down_through_levels_in_their_own_time() -> None:
    """From hard to calm in one check, everything that was stopped would start at the same moment."""
    machine = Machine(actions=False)
    machine.run(1, 950)
    machine.run(6, 820)
    assert machine.level is BudgetLevel.HIGH
    machine.run(6, 660)
    assert machine.level is BudgetLevel.SOFT
    machine.run(6, 600)
    assert machine.level is BudgetLevel.CALM


@pytest.mark.parametrize("limit", [64, 128, 200, 500, 1000, 64_000])
def test_watermarks_of_any_limit_keep_their_distance(limit: int) -> None:
    """With a small limit all watermarks would lie within one file of each other, and on the limit."""
    close = tuple(
        Watermark(level, share, 0, 0.05) for level, share in zip(list(BudgetLevel)[1:], (0.97, 0.98, 0.99), strict=True)
    )
    held = budget(limit, marks=close)
    distance = min(16, limit // 8) * MEGABYTE
    marks = [held.reached_bytes(level) for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD)] + [
        held.limit
    ]
    assert all(upper - lower >= distance for lower, upper in pairwise(marks))
    assert all(
        0 < held.left_bytes(level) < held.reached_bytes(level)
        for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD)
    )


@given(limit=st.integers(50, 100_000), floor=st.integers(0, 2000), used=st.integers(0, 110_000))
def test_what_is_left_is_always_under_what_is_reached(limit: int, floor: int, used: int) -> None:
    """A level whose two ends are crossed would be entered and left in each check."""
    held, tracker = budget(limit, floor), LevelTracker()
    for now in (1.0, 1.0 + SUSTAINED):
        tracker.update(now, used * MEGABYTE, held)
    for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD):
        assert held.left_bytes(level) < held.reached_bytes(level) <= held.limit
        assert (used * MEGABYTE >= held.reached_bytes(level)) == (tracker.level >= level)


def test_a_watermark_just_above_the_floor_can_be_left() -> None:
    """With a limit 150 MB above the RSS when ready, soft could never be left: hysteresis reaches under the floor."""
    machine = Machine(floor=345, limit=510, actions=False)
    machine.run(1)
    machine.run(10, 400)
    assert machine.level is BudgetLevel.SOFT
    machine.run(10, 350)
    assert machine.level is BudgetLevel.CALM


def test_watermarks_of_a_tight_limit_share_the_room_above_the_floor() -> None:
    """Shares of the whole limit would put soft under what the service takes when ready, and hard just above it."""
    tight = budget(500, floor=400)
    assert [
        tight.reached_bytes(level) // MEGABYTE for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD)
    ] == [
        430,
        450,
        470,
    ]
    wide = budget(2000, floor=400)
    assert [
        wide.reached_bytes(level) // MEGABYTE for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD)
    ] == [
        1400,
        1600,
        1800,
    ]


def test_without_a_limit_there_is_no_level() -> None:
    """A machine that does not tell its limit would be at hard for ever."""
    machine = Machine(limit=0)
    machine.run(5, 900)
    assert machine.level is BudgetLevel.CALM
    assert machine.governor.decisions() == []
