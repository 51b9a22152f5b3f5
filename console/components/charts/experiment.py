"""The threshold experiment as charts: every run a point, each setting's median a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from console.components.charts.figure import MEGABYTE, Chart, Json, axis, base_layout
from console.components.charts.marks import inert
from services.memory.experiment.choices import label
from services.memory.experiment.types import ExperimentResult, RunFigures, Setting
from services.texts import _

_HEIGHT = 280
_MEDIAN_HALF = 0.28  # of the distance between two settings
_JITTER = 0.16
Value = Callable[[RunFigures], float]


def experiment_charts(result: ExperimentResult) -> tuple[Chart, ...]:
    """Return total pause, p99 pause, peak and floor of RSS, and throughput, by setting."""
    return (
        _chart(result, "experiment-pause", _("Total pause"), _("ms"), [(_("Total"), "first", _pause)]),
        _chart(result, "experiment-p99", _("p99 pause"), _("ms"), [(_("p99"), "second", _p99)]),
        _chart(
            result,
            "experiment-rss",
            _("RSS: peak and floor"),
            _("MB"),
            [(_("Peak"), "third", _peak), (_("Floor"), "fourth", _floor)],
        ),
        _chart(
            result,
            "experiment-throughput",
            _("Throughput"),
            _("operations per CPU second"),
            [(_("Operations"), "first", lambda run: run.throughput)],
        ),
    )


def short(setting: Setting) -> str:
    """Return a setting's name where there is little room."""
    if setting.control:
        return _("Control")
    if not setting.automatic:
        return _("Off")
    if setting.frozen:
        return _("Frozen") if setting.thresholds is None else label(Setting(setting.thresholds)) + "<br>" + _("frozen")
    return inert(label(setting))


def _pause(run: RunFigures) -> float:
    return 1000 * run.pause


def _p99(run: RunFigures) -> float:
    return 1000 * run.p99


def _peak(run: RunFigures) -> float:
    return run.peak / MEGABYTE


def _floor(run: RunFigures) -> float:
    return run.floor / MEGABYTE


def _chart(
    result: ExperimentResult, name: str, title: str, unit: str, curves: Sequence[tuple[str, str, Value]]
) -> Chart:
    places = range(len(result.settings))
    layout = base_layout(_HEIGHT)
    layout["xaxis"] = {
        **axis(),
        "tickvals": list(places),
        "ticktext": [short(setting) for setting in result.settings],
        "range": [-0.5, len(result.settings) - 0.5],
        "showgrid": False,
        "fixedrange": True,
    }
    layout["yaxis"] = axis(unit)
    layout["hovermode"] = "closest"
    layout["margin"]["b"] = 36
    layout["showlegend"] = len(curves) > 1
    traces: list[Json] = []
    for text, shade, value in curves:
        traces += [_points(result, text, shade, value), _medians(result, text, shade, value)]
    return Chart(name, title, tuple(traces), layout, subject=result.id)


def _points(result: ExperimentResult, text: str, shade: str, value: Value) -> Json:
    """Return each run as a point; the rounds stand side by side, so that drift of the machine shows as a slope."""
    runs = sorted(result.runs, key=lambda run: (run.setting, run.round))
    last = max(1, result.rounds - 1)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text,
        "x": [round(run.setting + _JITTER * (2 * run.round / last - 1), 3) for run in runs],
        "y": [round(value(run.figures), 4) for run in runs],
        "customdata": [run.round + 1 for run in runs],
        "marker": {"color": f"${shade}", "size": 7, "opacity": 0.7},
        "hovertemplate": f"{text}: %{{y:,.4~g}}, " + _("round %{customdata}") + "<extra></extra>",
    }


def _medians(result: ExperimentResult, text: str, shade: str, value: Value) -> Json:
    x: list[float | None] = []
    y: list[float | None] = []
    for place in range(len(result.settings)):
        middle = round(median(value(run) for run in result.of(place)), 4)
        x += [place - _MEDIAN_HALF, place + _MEDIAN_HALF, None]
        y += [middle, middle, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": _("{name}, median").format(name=text),
        "x": x,
        "y": y,
        "line": {"color": f"${shade}", "width": 2},
        "hovertemplate": "%{y:,.4~g}<extra>" + _("median") + "</extra>",
        "showlegend": False,
    }
