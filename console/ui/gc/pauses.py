"""The garbage collector at work: its state, counts and policy, and how long its pauses stopped everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart, Json, axis, base_layout, time_layout
from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.shared.formatting import count, escape, local_time, milliseconds, minutes, time_of_day
from console.ui.shared.heartbeat import TickCache, heartbeat
from services.app.container import Services
from services.app.gc_pause_impact import API, PauseImpact, pause_impacts
from services.core.i18n import _, listed, plural
from services.memory.gc.types import GCState, Trial
from services.memory.sampling.gc_pauses import Pause, longest_pauses, summarize_recent

_PERIOD_SECONDS = 3.0
_LONGEST = 20
_drawn: TickCache[tuple[EncodedChart, EncodedChart]] = TickCache(most=2)
_HEIGHT = 260
# The colours of the generations on the page "Memory".
SHADES = ("fourth", "second", "first")
_SYMBOLS = ("circle", "square", "diamond")
_FIGURES_SECONDS = 300.0


@st.fragment
@guarded
def pauses_view(services: Services) -> None:
    """Draw the pauses and keep them up to date."""
    recent = services.memory.pauses.recent()
    if not recent:
        st.info(
            _("A collection pauses all threads. None has run since Millpond started to record them."),
            title=_("No pauses yet"),
            icon=":material/hourglass_top:",
        )
        heartbeat("collector-pauses", _PERIOD_SECONDS)
        return
    over_time, histogram = _drawn.get(id(services), _PERIOD_SECONDS / 2, lambda: _charts(services, recent))
    with st.grid(2, min_column_width=320, gap="medium"):
        with st.container(gap="xsmall"):
            draw_chart(over_time, key="chart-pauses")
        with st.container(gap="xsmall"):
            draw_chart(histogram, key="chart-pauses-histogram")
    st.caption(
        plural(
            "Over time: the last recorded pause; the histogram counts all since the start.",
            "Over time: the last {count} recorded pauses; the histogram counts all since the start.",
            len(recent),
        )
    )
    st.subheader(_("The longest pauses and what they delayed"), anchor=False)
    _table(
        pause_impacts(
            longest_pauses(recent, _LONGEST),
            services.request_log.latest(),
            services.requests.running(),
            speed=services.memory.clock.speed,
        )
    )
    heartbeat("collector-pauses", _PERIOD_SECONDS)


def _charts(services: Services, recent: Sequence[Pause]) -> tuple[EncodedChart, EncodedChart]:
    span = recent[0].time, max(services.memory.clock.time(), recent[0].time + 10.0)
    over_time = pauses_chart(recent, span)
    return EncodedChart.of(over_time), EncodedChart.of(
        histogram_chart(services.memory.pauses.bounds, services.memory.pause_totals())
    )


def _table(stopped: Sequence[PauseImpact]) -> None:
    import pandas as pd

    column = st.column_config
    st.dataframe(
        pd.DataFrame(
            {
                "time": [local_time(one.pause.time) for one in stopped],
                "generation": [f"gen{one.pause.generation}" for one in stopped],
                "ms": [1000 * one.pause.seconds for one in stopped],
                "who": [waiting_text(one.waiting) for one in stopped],
                "asked": [one.pause.asked for one in stopped],
                "freed": [one.pause.collected for one in stopped],
                "uncollectable": [one.pause.uncollectable for one in stopped],
            }
        ),
        hide_index=True,
        alt=_("The longest pauses"),
        height="content",
        column_config={
            "time": column.DatetimeColumn(_("When"), format="YYYY-MM-DD HH:mm:ss", width=150),
            "generation": column.TextColumn(_("Generation"), width=90),
            "ms": column.NumberColumn(_("Pause, ms"), format="%.2f", width=90),
            "who": column.TextColumn(_("Delayed"), width=300),
            "asked": column.CheckboxColumn(_("Requested"), width=80, help=_("By Millpond or a user")),
            "freed": column.NumberColumn(_("Objects freed"), format="localized", width=110),
            "uncollectable": column.NumberColumn(_("Uncollectable"), format="localized", width=130),
        },
    )


def waiting_text(waiting: Mapping[str, int]) -> str:
    """Return what a pause delayed, by kind of work, as text."""
    if not waiting:
        return _("nothing")
    words = {
        "PAGE": lambda n: plural("{count} page drawn", "{count} pages drawn", n),
        "ANSWER": lambda n: plural("{count} answer for a page", "{count} answers for pages", n),
        API: lambda n: plural("{count} request", "{count} requests", n),
        "answer": lambda n: plural("{count} answer in progress", "{count} answers in progress", n),
        "search": lambda n: plural("{count} search in progress", "{count} searches in progress", n),
        "upload": lambda n: plural("{count} upload in progress", "{count} uploads in progress", n),
        "look": lambda n: plural("{count} diagnostic in progress", "{count} diagnostics in progress", n),
    }
    return listed(words[kind](n) if kind in words else f"{n} {kind}" for kind, n in waiting.items())


def pauses_chart(recent: Sequence[Pause], span: tuple[float, float]) -> Chart:
    """Return each pause as a point, by generation; `span` in seconds since the epoch.

    Pauses of generation 0 take microseconds, those of generation 2 tens of milliseconds: the axis is logarithmic.
    """
    layout = time_layout(_HEIGHT, _("ms"), span=span)
    layout["yaxis"] = {**layout["yaxis"], "type": "log", "rangemode": "normal", "dtick": 1}
    layout["hovermode"] = "closest"
    traces: list[Json] = []
    for generation, shade in enumerate(SHADES):
        mine = [pause for pause in recent if pause.generation == generation]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"gen{generation}",
                "x": [int(pause.time * 1000) for pause in mine],
                "y": [round(1000 * max(pause.seconds, 1e-6), 4) for pause in mine],
                "customdata": [pause.collected for pause in mine],
                "marker": {"color": f"${shade}", "size": 4 + 2 * generation, "symbol": _SYMBOLS[generation]},
                "hovertemplate": "%{x|%H:%M:%S}: %{y:.3~g} ms, "
                + _("%{customdata:,} objects freed")
                + f"<extra>gen{generation}</extra>",
            }
        )
    return Chart("pauses", _("Pauses over time"), tuple(traces), layout)


def histogram_chart(bounds: Sequence[float], pauses: Mapping[int, tuple[Sequence[int], float]]) -> Chart:
    """Return the histogram of pauses since the start, by generation; `bounds` in seconds."""
    labels = [f"≤ {1000 * bound:g}" for bound in bounds]
    labels.append(f"> {1000 * bounds[-1]:g}")
    counts = [list(pauses[generation][0]) for generation in range(len(SHADES))]
    used = [place for place in range(len(labels)) if any(row[place] for row in counts)]
    first, last = (used[0], used[-1] + 1) if used else (0, len(labels))
    layout = base_layout(_HEIGHT)
    layout["xaxis"] = {**axis(_("pause, ms")), "type": "category", "showgrid": False, "fixedrange": True}
    layout["yaxis"] = {**axis(_("collections")), "type": "log", "fixedrange": True, "dtick": 1}
    layout["barmode"] = "group"
    layout["bargap"] = 0.2
    layout["margin"]["b"] = 44
    traces: tuple[Json, ...] = tuple(
        {
            "type": "bar",
            "name": f"gen{generation}",
            "x": labels[first:last],
            "y": [count or None for count in counts[generation][first:last]],
            "marker": {"color": f"${shade}"},
            "hovertemplate": "%{x} ms: %{y:,}<extra>" + f"gen{generation}</extra>",
        }
        for generation, shade in enumerate(SHADES)
    )
    return Chart("pauses-histogram", _("Distribution of pauses"), traces, layout, subject=f"{first}-{last}")


@st.fragment
@guarded
def status_view(services: Services) -> None:
    """Draw the status and keep it up to date."""
    rerun_for_notices()
    collector = services.memory.collector
    state = services.memory.collector_state()
    with st.container(border=True, gap="xsmall", key="collector-state"):
        st.markdown(f"#### {_mark(state)} {escape(state_sentence(state))}")
        if (trial := collector.trial) is not None:
            left = max(0.0, trial.until - services.memory.clock.time())
            st.caption(escape(_("Trial in progress; reverts automatically in {time}.").format(time=minutes(left))))
        elif state.kept is not None and state.kept != state.settings:
            st.caption(_("Not kept: a restart restores the kept settings."))
        if state.frozen:
            st.caption(
                plural(
                    "{count} object is frozen: the collector ignores it.",
                    "{count} objects are frozen: the collector ignores them.",
                    state.frozen,
                )
            )
    _figures(services, state)
    heartbeat("collector-head", _PERIOD_SECONDS)


def _mark(state: GCState) -> str:
    return ":orange[:material/pause_circle:]" if state.settings.off else ":green[:material/recycling:]"


def state_sentence(state: GCState) -> str:
    """Return the collector's state in one sentence."""
    settings = state.settings
    thresholds = ", ".join(count(each) for each in settings.thresholds)
    if settings.off:
        return _("Automatic collection is off: objects in reference cycles stay until somebody collects")
    usual = settings.thresholds == state.defaults
    automatic = (
        _("Python collects automatically at its default thresholds ({thresholds})")
        if usual
        else _("Python collects automatically at changed thresholds ({thresholds})")
    ).format(thresholds=thresholds)
    if settings.policy:
        return _("{automatic}; Millpond also collects when idle").format(automatic=automatic)
    return automatic


def _figures(services: Services, state: GCState) -> None:
    pauses = services.memory.pauses.recent()
    now = services.memory.clock.time()
    found = summarize_recent(pauses, now - _FIGURES_SECONDS * max(1.0, services.memory.clock.speed))
    window = minutes(now - found.begin)
    period = _("In the last {time}; a pause stops all threads").format(time=window)
    shown_at = _("At {time}").format(time=time_of_day(services.memory.reading().time))
    everything = _("All that were recorded since the start: Python's own, and those requested by Millpond or a person")
    since_start = sum(seconds for _counts, seconds in services.memory.pause_totals().values())
    shown = [
        (
            _("Collections"),
            " / ".join(count(runs) for runs in state.collections),
            _("Of generation 0, 1 and 2, since the start. {moment}").format(moment=shown_at),
        ),
        (_("Pauses since the start"), milliseconds(1000 * since_start), f"{everything}. {shown_at}"),
        (_("Pauses, last {time}").format(time=window), milliseconds(1000 * found.total), period),
        (
            _("p95, last {time}").format(time=window),
            "–" if found.p95 is None else milliseconds(1000 * found.p95),
            period,
        ),
        (_("Tracked objects"), count(state.tracked), _("Objects that the collector examines; counted periodically")),
        (_("Frozen"), count(state.frozen), _("Objects that the collector ignores")),
        (_("Uncollectable"), count(state.uncollectable), _("Found in cycles that could not be freed, since the start")),
    ]
    with st.grid(4, min_column_width=160, gap="small", key="collector-figures"):
        for label, value, note in shown:
            st.metric(label, value, border=True, help=note)


def trial_p95(trial: Trial) -> tuple[str, str]:
    """Return p95 of the pauses before and during the trial, as text."""

    def p95(seconds: float | None) -> str:
        return _("too few pauses yet") if seconds is None else milliseconds(1000 * seconds)

    return p95(trial.before_p95), p95(trial.now_p95)
