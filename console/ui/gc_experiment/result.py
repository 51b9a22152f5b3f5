"""The result of an experiment: advice in a sentence, tables with the spread of the rounds, charts with every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from typing import Any

import streamlit as st

from console.ui.charts.annotations import inert
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart, Json, axis, base_layout
from console.ui.current_actor import disabled_reason, page_actor
from console.ui.error_boundary import attempt
from console.ui.session_state import notify
from console.ui.shared.exports import export_buttons
from console.ui.shared.formatting import ago, count, escape, milliseconds, minutes, plain, size
from services.app.container import Services
from services.core.i18n import _, listed, plural
from services.core.machine import MEGABYTE
from services.memory.gc.types import GCSettings
from services.memory.gc_experiment.analysis import Advice, Analysis, Figure, analyze, is_relevant, median_and_range
from services.memory.gc_experiment.messages import change, figure_name, headline, recommendation
from services.memory.gc_experiment.types import ExperimentResult, RunFigures, Setting
from services.memory.gc_experiment.workload import label

CHOICE = "experiment-result"
TRY = "experiment-try"
TRY_MINUTES = "experiment-minutes"
_MINUTES = 10
_ICONS = {
    Advice.TOO_FEW: ":material/hourglass_top:",
    Advice.TOO_NOISY: ":material/graphic_eq:",
    Advice.NO_DIFFERENCE: ":material/drag_handle:",
    Advice.KEEP: ":material/check:",
    Advice.BETTER: ":material/thumb_up:",
    Advice.TRADE: ":material/balance:",
}
_HEIGHT = 280
_MEDIAN_HALF = 0.28  # of the distance between two settings
_JITTER = 0.16
Value = Callable[[RunFigures], float]


def results_view(services: Services) -> None:
    """Draw the chosen result, by default the newest; nothing where there is none."""
    results = services.experiments.results()
    if not results:
        return
    result = _choice(results)
    judgement = analyze(result)
    box = st.warning if judgement.advice in {Advice.TOO_FEW, Advice.TOO_NOISY} else st.success
    box(
        escape(recommendation(judgement, result)),
        title=escape(headline(judgement, result)),
        icon=_ICONS[judgement.advice],
    )
    _try(services, result, judgement)
    _title(_("By setting: median (minimum to maximum) of the rounds"))
    _table([_row(result, place) for place in range(len(result.settings))], _("Figures by setting"))
    st.markdown(f"**{escape(_('Compared with the defaults: change (interval), ● where significant and relevant'))}**")
    _table([_against(result, judgement, place) for place in range(1, len(result.settings))], _("Changes by setting"))
    with st.grid(2, min_column_width=320, gap="medium"):
        for chart in experiment_charts(result):
            with st.container(gap="xsmall"):
                draw_chart(EncodedChart.of(chart), key=f"chart-{chart.name}")
    _foot(result)


def _choice(results: list[ExperimentResult]) -> ExperimentResult:
    if len(results) == 1:
        return results[0]
    by_id = {result.id: result for result in results}

    def named(result_id: str) -> str:
        found = by_id[result_id]
        when = ago(datetime.fromtimestamp(found.began, UTC))
        what = " · ".join(label(setting) for setting in found.settings[1:])
        return f"{when}: {what}"

    chosen = st.selectbox(_("Experiment"), list(by_id), format_func=named, key=f"{CHOICE}-{results[0].id}", width=520)
    return by_id.get(str(chosen), results[0])


def _try(services: Services, result: ExperimentResult, judgement: Analysis) -> None:
    """Draw the form that starts a trial, for settings that a trial can use: thresholds."""
    usable = [setting for setting in result.settings if setting.thresholds is not None and not setting.frozen]
    usable = [setting for setting in usable if setting.automatic]
    if not usable:
        return
    advised = result.settings[judgement.setting]
    why = disabled_reason(services)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            _("Settings"),
            usable,
            index=usable.index(advised) if advised in usable else 0,
            format_func=label,
            key=f"{TRY}-{result.id}",
            width=220,
        )
        length = st.number_input(_("Minutes"), 1, 24 * 60, _MINUTES, key=TRY_MINUTES, width=120)
        st.button(
            _("Try these settings"),
            key=TRY,
            icon=":material/science:",
            disabled=why is not None,
            help=why or _("On trial in this service: reverts automatically unless kept."),
            on_click=_begin_trial,
            args=(services, chosen, 60.0 * length),
        )


def _begin_trial(services: Services, setting: Setting, seconds: float) -> None:
    if setting.thresholds is None:
        return
    collector = services.memory.collector
    wanted = GCSettings(setting.thresholds, setting.automatic, collector.state().settings.policy)
    if attempt(collector.change, page_actor(services), wanted, seconds) is not None:
        notify(_("On trial for {time}: {name}.").format(time=minutes(seconds), name=label(setting)))


def _row(result: ExperimentResult, place: int) -> dict[str, Any]:
    runs = result.figures_of(place)

    def shown(value: Callable[[RunFigures], float], words: Callable[[float], str]) -> str:
        middle, least, most = (words(number) for number in median_and_range([value(run) for run in runs]))
        return middle if least == most else f"{middle} ({least} – {most})"

    collections = [count(round(median(run.collections[generation] for run in runs))) for generation in range(3)]
    return {
        _("Setting"): plain(label(result.settings[place])),
        _("Total pause"): shown(lambda run: run.pause, _duration),
        _("p50 / p95 pause"): " / ".join(
            _duration(median(values)) for values in ([run.p50 for run in runs], [run.p95 for run in runs])
        ),
        _("p99 pause"): shown(lambda run: run.p99, _duration),
        _("Longest"): shown(lambda run: run.longest, _duration),
        _("Collections 0 / 1 / 2"): " / ".join(collections),
        _("RSS peak"): shown(lambda run: run.peak, size),
        _("RSS floor"): shown(lambda run: run.floor, size),
        _("Operations per CPU second"): shown(lambda run: run.throughput, lambda number: f"{number:,.1f}"),
        _("Operations per second"): shown(lambda run: run.wall_throughput, lambda number: f"{number:,.1f}"),
    }


def _against(result: ExperimentResult, judgement: Analysis, place: int) -> dict[str, Any]:
    ratios = judgement.ratios[place - 1]

    def shown(figure: Figure) -> str:
        words = change(ratios[figure])
        return f"{words} ●" if is_relevant(figure, ratios[figure]) else words

    names = {figure: _capital(figure_name(figure)) for figure in Figure}
    row: dict[str, Any] = {_("Setting"): plain(label(result.settings[place]))}
    row |= {names[figure]: shown(figure) for figure in Figure}
    row[_("p of the pauses")] = f"{ratios[Figure.PAUSE].p:.3f}"
    return row


def _duration(seconds: float) -> str:
    """Return a pause with its unit, short ones in microseconds."""
    return milliseconds(1000 * seconds) if seconds >= 0.001 or not seconds else f"{1e6 * seconds:.0f} µs"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(text: str) -> None:
    st.markdown(f"**{escape(text)}**")


def _table(rows: list[dict[str, Any]], name: str) -> None:
    import pandas as pd

    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content", alt=name)


def _foot(result: ExperimentResult) -> None:
    source = _("recorded in this service") if result.recorded else _("built in")
    kinds = listed(f"{name} {count(number)}" for name, number in result.counts.items())
    st.caption(
        escape(
            _(
                "Workload {source}, seed {seed}: {kinds}; {objects} long-lived objects. Python {python}, defaults "
                "{defaults}. {rounds} in {time}. Pauses are CPU time of the collecting thread."
            ).format(
                source=source,
                seed=result.seed,
                kinds=kinds,
                objects=count(result.long_lived),
                python=result.python,
                defaults="({}, {}, {})".format(*result.defaults),
                rounds=plural("{count} round", "{count} rounds", result.rounds),
                time=minutes(result.took),
            )
        )
    )
    export_buttons(
        [
            {"setting": label(result.settings[run.setting]), "round": run.round + 1, **asdict(run.figures)}
            for run in result.runs
        ],
        "threshold-experiment",
    )


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


def short_label(setting: Setting) -> str:
    """Return the short name of a setting, for axes."""
    if setting.control:
        return _("Control group")
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
        "ticktext": [short_label(setting) for setting in result.settings],
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
    """Return each run as a point; rounds are side by side, so that a drift of the machine shows as a slope."""
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
        middle = round(median(value(run) for run in result.figures_of(place)), 4)
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
