"""Texts about an analysis, for its page, events and the API."""

from __future__ import annotations

from collections.abc import Mapping

from services.core.i18n import _, joined, plural
from services.memory.gc_experiment.analysis import ALPHA, Advice, Analysis, Figure, Ratio
from services.memory.gc_experiment.types import ExperimentResult
from services.memory.gc_experiment.workload import MIN_ROUNDS, label

_SMALL_SHARE = 0.01


def figure_name(figure: Figure) -> str:
    """Return the name of a figure."""
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
    """Return a ratio as a change in percent, with its interval."""
    value, low, high = (_percent(number) for number in (ratio.value, ratio.low, ratio.high))
    return _("{value} ({low} to {high})").format(value=value, low=low, high=high)


def _percent(ratio: float) -> str:
    if ratio > 10:
        return _("over 10 times") if ratio > 1e6 else _("{times:,.0f} times").format(times=ratio)
    percent = 100 * (ratio - 1)
    digits = 0 if abs(percent) >= 10 else 1
    return f"{percent:+.{digits}f}%".replace("-", "−")


def headline(analysis: Analysis, result: ExperimentResult) -> str:
    """Return the result in a few words."""
    name = label(result.settings[analysis.setting])
    return {
        Advice.TOO_FEW: _("Too few rounds to compare settings"),
        Advice.TOO_NOISY: _("Too noisy for a result"),
        Advice.NO_DIFFERENCE: _("No measurable difference"),
        Advice.KEEP: _("Keep the defaults: the other settings are only worse"),
        Advice.BETTER: _("{name} is better, at no measured cost").format(name=name),
        Advice.TRADE: _("{name} is a trade-off").format(name=name),
    }[analysis.advice]


def recommendation(analysis: Analysis, result: ExperimentResult) -> str:
    """Return what to do and why, in sentences."""
    parts = [_reason(analysis, result)]
    if analysis.share < _SMALL_SHARE:
        parts.append(
            _(
                "Whatever the setting, there is little to gain: with the defaults all pauses together took "
                "{share:.2f}% of CPU time."
            ).format(share=100 * analysis.share)
        )
    return joined(parts)


def _reason(analysis: Analysis, result: ExperimentResult) -> str:
    advice = analysis.advice
    if advice is Advice.TOO_FEW:
        return plural(
            "{count} round gives no usable interval; run at least {least}, preferably 6.",
            "{count} rounds give no usable interval; run at least {least}, preferably 6.",
            result.rounds,
            least=str(MIN_ROUNDS),
        )
    if advice is Advice.TOO_NOISY:
        return _noisy(analysis)
    if advice is Advice.NO_DIFFERENCE:
        return _(
            "The settings differ no more than equal runs do (changes of the total pause under about {share:.0f}% are "
            "not detectable). Keep the defaults."
        ).format(share=100 * analysis.resolution)
    if advice is Advice.KEEP:
        return _("No setting brings a significant gain (at {level:.0f}%); some have a significant cost.").format(
            level=100 * (1 - ALPHA)
        )
    ratios = analysis.ratios[analysis.setting - 1]
    gains = _join_changes(analysis.gains, ratios)
    if advice is Advice.BETTER:
        return _("Against the defaults: {gains}. No other measured figure got worse.").format(gains=gains)
    return _(
        "Against the defaults it gains {gains}, at the cost of {costs}. Which matters more is for you to decide."
    ).format(gains=gains, costs=_join_changes(analysis.costs, ratios))


def _noisy(analysis: Analysis) -> str:
    if analysis.resolution > 1:
        return _("Equal runs differ too much. Run more rounds, or start it at a quieter time.")
    return _(
        "Equal runs differ so much that no change under about {share:.0f}% is detectable. Run more rounds, or start it "
        "at a quieter time."
    ).format(share=100 * analysis.resolution)


def _join_changes(figures: tuple[Figure, ...], ratios: Mapping[Figure, Ratio]) -> str:
    return joined((f"{figure_name(figure)} {change(ratios[figure])}" for figure in figures), _("; "))
