from __future__ import annotations

import random
from dataclasses import replace

import pytest

from services.memory.gc_experiment.analysis import (
    Advice,
    Figure,
    analyze,
    paired_ratio,
    randomization_p,
    student_t_quantile,
)
from services.memory.gc_experiment.messages import headline, recommendation
from services.memory.gc_experiment.types import ExperimentResult, OperationKind, Run, RunFigures, Setting
from services.memory.gc_experiment.workload import (
    CONTROL,
    OFF,
    REFERENCE,
    built_in_operations,
    count_operations,
    repeat_operations,
    setting_order,
)

MB = 2**20
OTHER = Setting((2000, 10, 10))
PLAIN = RunFigures(
    pause=0.5,
    pause_wall=0.5,
    p50=0.00002,
    p95=0.0002,
    p99=0.001,
    longest=0.1,
    collections=(500, 45, 4),
    collected=1000,
    base=400 * MB,
    peak=440 * MB,
    floor=430 * MB,
    tracked=350_000,
    operations=600,
    seconds=8.0,
    cpu_seconds=8.0,
)


def made(
    factors: list[dict[str, float]],
    *,
    noise: float = 0.0,
    rounds: int = 6,
    seed: int = 1,
    settings: tuple[Setting, ...] = (REFERENCE, OTHER),
) -> ExperimentResult:
    """Return a result in which each setting's figures are the plain ones times its factors, with noise in each run and
    a drift of the machine that all settings of a round share."""
    chance = random.Random(seed)
    runs = []
    for number in range(rounds):
        drift = 1 + 0.3 * number / rounds
        for place, factor in enumerate(factors):
            figures = PLAIN
            for name in ("pause", "p99", "longest", "peak", "floor", "cpu_seconds"):
                shake = chance.lognormvariate(0, noise) if noise else 1 + 0.0001 * chance.random()
                drifted = drift if name in {"pause", "cpu_seconds"} else 1.0
                value = getattr(PLAIN, name) * factor.get(name, 1.0) * shake * drifted
                figures = replace(figures, **{name: int(value) if name in {"peak", "floor"} else value})
            runs.append(Run(place, number, figures))
    return ExperimentResult(
        "0" * 16, 0.0, 1.0, "a", "3.11", (700, 10, 10), settings, rounds, False, 1, 0, {"page": 600}, tuple(runs)
    )


@pytest.mark.parametrize(
    ("alpha", "freedom", "expected"),
    [(0.05, 1, 12.706), (0.05, 2, 4.303), (0.05, 5, 2.571), (0.01, 5, 4.032), (0.05, 19, 2.093), (0.002, 3, 10.215)],
)
def test_quantiles_of_students_t(alpha: float, freedom: int, expected: float) -> None:
    """The intervals are as wide as the tables say."""
    assert student_t_quantile(alpha, freedom) == pytest.approx(expected, rel=2e-3)


def test_the_exact_test() -> None:
    """Six rounds that all agree are as rare as 2 in 64; rounds that disagree tell nothing."""
    assert randomization_p([0.1] * 6) == pytest.approx(2 / 64)
    assert randomization_p([0.1, -0.1, 0.1, -0.1]) == 1.0


def test_pairing_takes_out_the_drift_of_the_machine() -> None:
    """A machine that gets slower from round to round hides a difference of 5% from medians, not from pairs."""
    reference = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    ratio = paired_ratio([1.05 * value for value in reference], reference, alpha=0.05)
    assert ratio.value == pytest.approx(1.05)
    assert ratio.significant


def test_equal_settings_are_rarely_found_different() -> None:
    """A against A, 400 times under noise: any advice but none comes in hardly more cases than the level promises."""
    found = [analyze(made([{}, {}], noise=0.1, seed=seed)).advice for seed in range(400)]
    wrong = sum(advice not in {Advice.NO_DIFFERENCE, Advice.TOO_NOISY} for advice in found)
    assert wrong <= 0.083 * 400  # 5%, and three standard errors


def test_noise_alone_is_no_advice() -> None:
    """Equal settings give "no difference" when the noise is small and "too noisy" when it is great."""
    quiet = analyze(made([{}, {}], noise=0.02, seed=3))
    assert quiet.advice is Advice.NO_DIFFERENCE
    assert "no more than equal runs do" in recommendation(quiet, made([{}, {}], noise=0.02, seed=3))
    loud = [analyze(made([{}, {}], noise=0.5, seed=seed)).advice for seed in range(40)]
    assert loud.count(Advice.TOO_NOISY) >= 34


def test_a_control_that_differs_spoils_the_experiment() -> None:
    """When the defaults differ from themselves, nothing else is believed."""
    result = made([{}, {"pause": 0.5}, {"pause": 1.4}], noise=0.01, settings=(REFERENCE, OTHER, CONTROL))
    assert analyze(result).advice is Advice.TOO_NOISY


def test_better_trade_and_keep() -> None:
    """Less pause for nothing is advised; less pause for more RSS is named as a trade with both sides; worse is not."""
    better = made([{}, {"pause": 0.7}], noise=0.01)
    found = analyze(better)
    assert (found.advice, found.setting, found.costs) == (Advice.BETTER, 1, ())
    assert headline(found, better).startswith("(2000, 10, 10) is better")
    trade = made([{}, {"pause": 0.7, "peak": 1.1}], noise=0.01)
    found = analyze(trade)
    assert (found.advice, found.gains, found.costs) == (Advice.TRADE, (Figure.PAUSE,), (Figure.PEAK,))
    words = recommendation(found, trade)
    assert "total pause −3" in words
    assert "peak of RSS +" in words
    assert analyze(made([{}, {"pause": 1.5}], noise=0.01)).advice is Advice.KEEP


def test_less_memory_for_more_pause_is_a_trade_too() -> None:
    """Settings that collect more often and so need less RSS are offered with their price."""
    found = analyze(made([{}, {"pause": 1.6, "peak": 0.9, "floor": 0.9}], noise=0.01))
    assert found.advice is Advice.TRADE
    assert set(found.gains) == {Figure.PEAK, Figure.FLOOR}
    assert found.costs == (Figure.PAUSE,)


def test_the_collector_off_is_a_bound_and_no_advice() -> None:
    """However fast it is without the collector, that is not recommended."""
    found = analyze(made([{}, {"pause": 1e-9}], noise=0.01, settings=(REFERENCE, OFF)))
    assert found.ratios[0][Figure.PAUSE].significant
    assert found.setting == 0
    assert found.advice is Advice.NO_DIFFERENCE


def test_two_rounds_are_too_few() -> None:
    """However large the difference, two rounds give no answer."""
    result = made([{}, {"pause": 0.5}], rounds=2)
    assert analyze(result).advice is Advice.TOO_FEW
    assert "at least 3" in recommendation(analyze(result), result)
    assert analyze(made([{}, {"pause": 0.5}], rounds=1)).advice is Advice.TOO_FEW


def test_small_pauses_are_put_into_proportion() -> None:
    """Where pauses take next to none of the time, the recommendation says that there is little to gain."""
    result = made([{"pause": 0.01}, {"pause": 0.005}], noise=0.01)
    assert "there is little to gain" in recommendation(analyze(result), result)


@pytest.mark.parametrize("settings", [2, 3, 5])
def test_the_order_favours_none(settings: int) -> None:
    """Over the rounds each setting comes first, and each comes before and after each other one."""
    rounds = [setting_order(settings, number) for number in range(2 * settings)]
    assert all(sorted(turn) == list(range(settings)) for turn in rounds)
    assert {turn[0] for turn in rounds} == set(range(settings))
    before = {(a, b) for turn in rounds for i, a in enumerate(turn) for b in turn[i + 1 :]}
    assert before == {(a, b) for a in range(settings) for b in range(settings) if a != b}


def test_workloads_are_the_same_each_time() -> None:
    """The same seed gives the same operations; a recording is repeated in its order."""
    assert built_in_operations(300, 7) == built_in_operations(300, 7) != built_in_operations(300, 8)
    assert set(count_operations(built_in_operations(500, 1))) == {kind.value for kind in OperationKind}
    assert repeat_operations([(OperationKind.PAGE, 0), (OperationKind.QUESTION, 9)], 3) == (
        (OperationKind.PAGE, 0),
        (OperationKind.QUESTION, 9),
        (OperationKind.PAGE, 0),
    )
