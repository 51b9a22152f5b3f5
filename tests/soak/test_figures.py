from __future__ import annotations

import random
from typing import Any

import pytest

from tests.soak.figures import MB, Floor, floor_ratio, percentile, slope_of, table, tenths, warm
from tests.soak.workload import Amount, only, plan


def floors(slope_mb: float, *, count: int = 40, noise_mb: float = 0.5, warm_up_mb: float = 20.0) -> list[Floor]:
    """Floors over 10,000 questions that rise by `slope_mb` for 1,000, after a steep warm-up."""
    chance = random.Random(7)
    found = []
    for block in range(count):
        questions = 250 * (block + 1)
        warming = warm_up_mb * max(0.0, 1 - block / (count * 0.15))
        size = 300 - warming + slope_mb * questions / 1000 + chance.gauss(0, noise_mb)
        found.append(
            Floor(block, questions, block * 10.0, int(size * MB), int(size * MB) - 50 * MB, 40, 60, 2, {"index": 1})
        )
    return found


@pytest.mark.parametrize("planted", [0.0, 0.3, 1.0, 5.0])
def test_a_planted_slope_is_found(planted: float) -> None:
    """The slope in MB for 1,000 questions comes out, whatever the warm-up did; its interval holds the truth."""
    slope = slope_of(floors(planted))
    assert slope is not None
    assert slope.mb == pytest.approx(planted, abs=0.15)
    assert slope.low - 0.1 <= planted <= slope.high + 0.1


def test_noise_is_not_called_a_trend_and_a_leak_is() -> None:
    """A flat series is not distinguishable from zero; one that rises by 1 MB is."""
    flat, rising = slope_of(floors(0.0)), slope_of(floors(1.0))
    assert flat is not None
    assert rising is not None
    assert not flat.distinguishable
    assert rising.distinguishable


def test_floors_at_the_ends() -> None:
    """The ratio compares the end with the floor after warm-up, not with the cold start."""
    assert floor_ratio(floors(0.0)) == pytest.approx(1.0, abs=0.01)
    assert floor_ratio(floors(5.0)) == pytest.approx(1 + 5 * 7.5 / 310, abs=0.02)
    assert floor_ratio(floors(0.0, count=4)) is None
    assert slope_of(floors(0.0, count=2)) is None
    assert len(warm(floors(0.0))) == 32


def test_percentiles_and_tenths() -> None:
    """Nearest rank; the tenths are in the order of time and together hold every answer."""
    assert percentile([1.0], 0.95) == 1.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    parts = tenths([(float(n), 0.1 if n < 500 else 0.2) for n in range(1000)])
    assert len(parts) == 10
    assert sum(part["answers"] for part in parts) == 1000
    assert parts[0]["p95_ms"] == pytest.approx(100)
    assert parts[-1]["p95_ms"] == pytest.approx(200)


def a_run(slope_mb: float = 0.0, **changes: Any) -> dict[str, Any]:
    soak: dict[str, Any] = {
        "floors": [vars_of(floor) for floor in floors(slope_mb)],
        "tenths": tenths([(float(n), 0.1) for n in range(1000)]),
        "done": {"questions": 10_000, "uploads": 500, "sessions": 200},
        "failed": 0,
        "peak": 400 * MB,
        "peak_with_children": 600 * MB,
    }
    naive = {"peak": 1600 * MB, "peak_with_children": 1600 * MB, "said": "it did all of the work"}
    return {"soak": soak | changes, "baseline": naive}


def vars_of(floor: Floor) -> dict[str, Any]:
    return {name: getattr(floor, name) for name in Floor.__slots__}


def test_the_table_says_met_only_where_it_is() -> None:
    """Each target is met by a good run; a leak, a failure, slowing down or a small lead each turn one line."""
    assert [row.met for row in table(a_run())] == [True] * 6
    assert next(row.met for row in table(a_run(2.0))) is False
    assert [row.met for row in table(a_run(failed=1))][2] is False
    slower = tenths([(float(n), 0.1 + n / 10_000) for n in range(1000)])
    assert [row.met for row in table(a_run(tenths=slower))][3] is False
    assert [row.met for row in table(a_run(peak=1000 * MB))][4:] == [False, False]


def test_the_plan_is_what_was_asked_for() -> None:
    """The counts hold, the questions are mostly distinct, in both languages, through both ways; a seed repeats it."""
    amount = Amount(questions=1000, conversations=50, uploads=60, visits=20, model_questions=12, blocks=10)
    made = plan(amount)
    questions = [question for block in made.blocks for question in block.questions]
    assert len(questions) == 1000
    assert {question.conversation for question in questions} == set(range(50))
    assert len({question.text for question in questions}) > 850
    assert 0.05 < made.repeated / 1000 < 0.15
    assert 300 < sum(question.text.isascii() for question in questions) < 700
    assert {question.stored for question in questions} == {True, False}
    uploads = [upload for block in made.blocks for upload in block.uploads]
    assert len(uploads) == 60
    assert len({upload.name for upload in uploads}) < 60
    assert {upload.kind for upload in uploads} == {"txt", "md", "docx", "pdf", "csv"}
    assert plan(amount) == made
    alone = only(made, "sessions")
    assert sum(len(block.visits) for block in alone.blocks) == 20
    assert not any(block.questions or block.uploads for block in alone.blocks)
