"""A judgement in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from services.core.i18n import _
from services.memory.gc_experiment.analysis import ALPHA, MIN_ANALYSIS_ROUNDS, Advice, Analysis, Figure, Ratio
from services.memory.gc_experiment.types import ExperimentResult
from services.memory.gc_experiment.workload import label

_SMALL_SHARE = 0.01


def figure_name(figure: Figure) -> str:
    """Return what a figure is called."""
    return {
        Figure.PAUSE: _("total pause"),
        Figure.P99: _("p99 pause"),
        Figure.LONGEST: _("longest pause"),
        Figure.FULL: _("full collections"),
        Figure.PEAK: _("peak of RSS"),
        Figure.FLOOR: _("floor of RSS"),
        Figure.THROUGHPUT: _("throughput"),
    }[figure]


def change(ratio: Ratio) -> str:
    """Return a ratio as a change in percent with its interval."""
    value, low, high = (_percent(number) for number in (ratio.value, ratio.low, ratio.high))
    return _("{value} ({low} to {high})").format(value=value, low=low, high=high)


def _percent(ratio: float) -> str:
    if ratio > 10:
        return _("over 10 times") if ratio > 1e6 else _("{times:,.0f} times").format(times=ratio)
    percent = 100 * (ratio - 1)
    digits = 0 if abs(percent) >= 10 else 1
    return f"{percent:+.{digits}f}%".replace("-", "−")


def headline(judgement: Analysis, result: ExperimentResult) -> str:
    """Return the answer in a few words."""
    name = label(result.settings[judgement.setting])
    return {
        Advice.TOO_FEW: _("Too few rounds to tell settings apart"),
        Advice.TOO_NOISY: _("Too noisy for an answer"),
        Advice.NO_DIFFERENCE: _("No difference that this experiment can tell"),
        Advice.KEEP: _("Keep the defaults: what was tried is only worse"),
        Advice.BETTER: _("{name} is better, and costs nothing that was measured").format(name=name),
        Advice.TRADE: _("{name} is a trade").format(name=name),
    }[judgement.advice]


def recommendation(judgement: Analysis, result: ExperimentResult) -> str:
    """Return what to do and why, in sentences, in the words that events and pages use."""
    parts = [_reason(judgement, result)]
    if judgement.share < _SMALL_SHARE:
        parts.append(
            _(
                "Whatever the setting, little is to be had: with the defaults all pauses together took {share:.2f}% of "
                "the processor time."
            ).format(share=100 * judgement.share)
        )
    return " ".join(parts)


def _reason(judgement: Analysis, result: ExperimentResult) -> str:
    advice = judgement.advice
    if advice is Advice.TOO_FEW:
        return _("{rounds} rounds give no interval worth the name; do at least {least}, better 6.").format(
            rounds=result.rounds, least=MIN_ANALYSIS_ROUNDS
        )
    if advice is Advice.TOO_NOISY:
        return _noisy(judgement)
    if advice is Advice.NO_DIFFERENCE:
        return _(
            "What differs between the settings is within what equal runs differ by (changes of the total pause under "
            "about {share:.0f}% stay unseen). Keep the defaults."
        ).format(share=100 * judgement.resolution)
    if advice is Advice.KEEP:
        return _("No setting gives anything that is certain at {level:.0f}%; some certainly cost something.").format(
            level=100 * (1 - ALPHA)
        )
    ratios = judgement.ratios[judgement.setting - 1]
    gains = _listed(judgement.gains, ratios)
    if advice is Advice.BETTER:
        return _("Against the defaults: {gains}. Nothing else that was measured got worse.").format(gains=gains)
    return _("Against the defaults it gives {gains}, and takes {prices}. Which of the two matters is yours.").format(
        gains=gains, prices=_listed(judgement.prices, ratios)
    )


def _noisy(judgement: Analysis) -> str:
    if judgement.resolution > 1:
        return _("Equal runs differ too much. Do more rounds, or start it in a quieter moment.")
    return _(
        "Equal runs differ by so much that nothing under about {share:.0f}% can be told. Do more rounds, or start it "
        "in a quieter moment."
    ).format(share=100 * judgement.resolution)


def _listed(figures: tuple[Figure, ...], ratios: Mapping[Figure, Ratio]) -> str:
    return "; ".join(f"{figure_name(figure)} {change(ratios[figure])}" for figure in figures)
