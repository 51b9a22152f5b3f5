"""The live charts of the page "Memory", the ledger's among them, and their toolbar: range, pause, export. Built once
per range and tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from console.ui.charts.annotations import (
    MOST_EVENTS,
    add_event_band,
    add_levels,
    event_trace,
    mark_moment,
    restart_shapes,
    restarts,
)
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.event_links import open_event
from console.ui.charts.figure import (
    MOST_POINTS,
    Chart,
    Json,
    axis,
    base_layout,
    known,
    label_room,
    line,
    moments,
    numbers,
    time_layout,
)
from console.ui.charts.lines import LINE_COLUMNS, LINE_POINTS, TIME_CHARTS, requests_chart
from console.ui.charts.palette import FAMILY_OWNERS, ColourFamily, colour, family_name, owner_colour, owner_name
from console.ui.charts.shown_time import shown_time
from console.ui.error_boundary import guarded
from console.ui.memory.marked import marked
from console.ui.memory.sections import MemorySection
from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.heartbeat import TickCache, heartbeat
from services.app.container import Services
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.core.time_ranges import PACING, Range, range_label
from services.memory.ledger.ledger import Ledger
from services.memory.types import Floats, Series, Window, owner_column
from services.memory.watching_cost import WatchingActivity
from services.operations.event_log import Event

# A process younger than this, in seconds, is shown by its first minutes: an hour would be nearly empty.
_YOUNG = 900.0
_ZOOM = "memory"
MOST_MARKS = 100
# Eleven families, RSS and its peaks are thirteen curves; the other points are event markers and the two ends of each
# gap at a restart, the newest ones.
LEDGER_POINTS = 140
_MOST_GAPS = ((MOST_POINTS - MOST_EVENTS) // 13 - LEDGER_POINTS) // 2
LEDGER_COLUMNS: tuple[str, ...] = (Series.RSS, Series.LIMIT, *(owner_column(owner) for owner in Owner))
_LIMIT_IN_SIGHT = 0.4  # of the limit: below, drawing it would flatten the curves


def own_range_bar(services: Services) -> Range:
    """Draw the bar for this process, and return the range."""
    return range_bar(services.memory.clock.time() - services.memory.history.run_start())


def range_bar(age: float, address: str = "./api/memory") -> Range:
    """Draw the range, the pause switch and the exports; return the range.

    `age` is for how many seconds the process runs that is shown, `address` where its memory is in the API.
    """
    st.subheader(_("Charts"), anchor=MemorySection.CHARTS)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        choice = Range(
            st.segmented_control(
                _("Range"),
                list(Range),
                key=Key.MEMORY_RANGE,
                default=_range_from_address() or _default_range(age),
                required=True,
                format_func=range_label,
                label_visibility="collapsed",
                on_change=_store_in_address,
            )
        )
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.toggle(_("Pause"), key=Key.MEMORY_PAUSE, help=_("Stops updates of this page until it is switched off."))
            _exports(choice, address)
    return choice


def _range_from_address() -> Range | None:
    name = query(Query.RANGE)
    return Range(name) if name in set(Range) else None


def _default_range(age: float) -> Range:
    return Range.MINUTES if age < _YOUNG else Range.HOUR


def _store_in_address() -> None:
    set_query(Query.RANGE, st.session_state[Key.MEMORY_RANGE].value)


def _exports(choice: Range, address: str) -> None:
    address = f"{address}/history?range={choice.value}&download=true&format="
    with st.popover(_("Export"), icon=":material/download:"):
        st.link_button(_("History as CSV"), f"{address}csv", icon=":material/table:")
        st.link_button(_("History as JSON"), f"{address}json", icon=":material/data_object:")
        st.caption(_("To save a chart as an image or an HTML page, point at it: the buttons are beside its title."))


@st.fragment
@guarded
def charts_view(services: Services, choice: Range) -> None:
    """Draw the charts of a range and keep them up to date."""
    found = marked(services)
    shown = memory_charts(services, choice, None if found is None else found.time)
    if shown.empty:
        st.info(_("There is no history in this range yet."), icon=":material/hourglass_top:")
    open_event(services, draw_chart(shown.ledger, key="chart-ledger"))
    with st.grid(2, min_column_width=320, gap="medium"):
        for name, drawn in shown.lines.items():
            with st.container(gap="xsmall"):
                draw_chart(drawn, key=f"chart-{name}")
        if shown.requests is not None:
            with st.container(gap="xsmall"):
                draw_chart(shown.requests, key="chart-requests")
    if "gpu" not in shown.lines:
        st.caption(_("There is no GPU in this machine that can be monitored."))
    heartbeat("memory-charts", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else PACING[choice].refresh_seconds)


@dataclass(frozen=True, slots=True)
class MemoryCharts:
    """The charts of one range: the ledger, those over time by name, growth per request (None: too few requests)."""

    ledger: EncodedChart
    lines: dict[str, EncodedChart]
    requests: EncodedChart | None
    empty: bool


_charts_cache: TickCache[MemoryCharts] = TickCache(most=2 * len(Range))
_owners_cache: TickCache[EncodedChart] = TickCache(most=2)


def memory_charts(services: Services, choice: Range, moment: float | None = None) -> MemoryCharts:
    """Return the charts of a range, at most as old as its beat, with a moment marked."""
    return _charts_cache.get(
        (id(services), choice, moment), PACING[choice].refresh_seconds / 2, lambda: _build(services, choice, moment)
    )


def encoded_owners_chart(services: Services, ledger: Ledger) -> EncodedChart:
    """Return the chart of a ledger."""
    return _owners_cache.get((id(services), ledger.time), 3600.0, lambda: EncodedChart.of(owners_chart(ledger)))


def _build(services: Services, choice: Range, moment: float | None) -> MemoryCharts:
    with services.memory.costs.measure(WatchingActivity.CHARTS):
        return _charts(services, choice, moment)


def _charts(services: Services, choice: Range, moment: float | None) -> MemoryCharts:
    history = services.memory.history
    shown = shown_time(services.memory, choice, LEDGER_POINTS)
    span, note = shown.span, shown.note
    stacked = history.window(shown.start, shown.end, columns=LEDGER_COLUMNS, points=LEDGER_POINTS)
    events = services.events.between(shown.start, shown.end, MOST_MARKS)
    shown = shown_time(services.memory, choice, LINE_POINTS)
    fine = history.window(shown.start, shown.end, columns=LINE_COLUMNS, points=LINE_POINTS)
    requests = requests_chart(fine, per_request=services.memory.detector.verdict.per_request)
    return drawn_charts(stacked, fine, events, choice, span=span, note=note, requests=requests, moment=moment)


def drawn_charts(
    stacked: Window,
    fine: Window,
    events: Sequence[Event],
    choice: Range,
    *,
    span: tuple[float, float],
    note: str = "",
    requests: Chart | None = None,
    moment: float | None = None,
) -> MemoryCharts:
    """Return the charts of a range: from `stacked` that of the ledger, with the events, from `fine` the others.

    `span` is that of the time axis, `note` says that it begins later than the range, `moment` is marked.
    """
    ledger = ledger_chart(stacked, events, span=span, zoom=_ZOOM)
    charts: list[Chart | None] = [make(fine, span=span, zoom=_ZOOM) for make in TIME_CHARTS]
    drawn = [chart for chart in (ledger, *charts) if chart is not None]
    if moment is not None and span[0] <= moment <= span[1]:
        for chart in drawn:
            mark_moment(chart.layout, moment)
    return MemoryCharts(
        _encoded(replace(ledger, note=note), choice),
        {chart.name: _encoded(chart, choice) for chart in drawn[1:]},
        _encoded(requests, choice) if requests else None,
        len(fine) == 0,
    )


def _encoded(chart: Chart, choice: Range) -> EncodedChart:
    return EncodedChart.of(replace(chart, subject=f"{choice}{chart.subject}"))


def ledger_chart(
    window: Window, events: Sequence[Event], *, span: tuple[float, float], zoom: str = "", height: int = 380
) -> Chart:
    """Return RSS by family over time, with RSS itself, limit, restarts and events."""
    window, away = _with_ends(window)
    layout = time_layout(height, _("MB"), span=span)
    add_event_band(layout)
    layout["shapes"] = restart_shapes(window)
    traces = [_area(window, family, away) for family in ColourFamily if _present(window, family)]
    rss = window.means[Series.RSS]
    traces.append(line(_("RSS"), _away(numbers(rss, per=MEGABYTE), away), "rss", unit=_("MB"), width=2))
    peaks = window.maxima[Series.RSS]
    if known(peaks) and np.nanmax(peaks - rss) > MEGABYTE:
        traces.append(
            line(_("RSS, peak"), _away(numbers(peaks, per=MEGABYTE), away), "peak", unit=_("MB"), width=1, dash="dot")
        )
    if events:
        traces.append(event_trace(events))
    _add_limit(layout, window)
    return Chart("ledger", _("Memory by owner"), tuple(traces), layout, moments(window.times), zoom)


def _present(window: Window, family: ColourFamily) -> bool:
    return any(known(window.means.get(owner_column(owner))) for owner in FAMILY_OWNERS[family])


def _sum(window: Window, family: ColourFamily) -> Floats:
    columns = [
        window.means[owner_column(owner)] for owner in FAMILY_OWNERS[family] if owner_column(owner) in window.means
    ]
    stacked = np.vstack(columns)
    total: Floats = np.nansum(stacked, axis=0)
    total[np.isnan(stacked).all(axis=0)] = np.nan
    return total


def _area(window: Window, family: ColourFamily, away: frozenset[int]) -> Json:
    values = numbers(_sum(window, family), per=MEGABYTE, digits=1)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": family_name(family),
        "y": [0.0 if i in away else value for i, value in enumerate(values)],
        "stackgroup": "owners",
        "fillcolor": colour(family),
        "line": {"color": colour("background"), "width": 0.6},
        "hovertemplate": "%{y:,.1f} " + _("MB"),
        "legendgroup": family.value,
    }


def _away(values: list[float | None], away: frozenset[int]) -> list[float | None]:
    return [None if i in away else value for i, value in enumerate(values)]


def _with_ends(window: Window) -> tuple[Window, frozenset[int]]:
    """Return the window with a point at both ends of each restart's gap, and the indices of these points.

    Stacked areas cannot have gaps: at these points they fall to zero and rise again, as the process did.
    """
    gaps = restarts(window)[-_MOST_GAPS:]
    if not gaps:
        return window, frozenset()
    times: list[float] = []
    rows: list[int] = []
    away: set[int] = set()
    ends = {float(before): after for before, after in gaps}
    for row, time in enumerate(window.times.tolist()):
        times.append(time)
        rows.append(row)
        if time in ends:
            for end in (time + 0.001, ends[time] - 0.001):
                away.add(len(times))
                times.append(end)
                rows.append(row)
    index = np.array(rows, dtype=np.intp)
    return (
        Window(
            np.array(times, dtype=np.float64),
            window.step_seconds,
            {column: values[index] for column, values in window.means.items()},
            {column: values[index] for column, values in window.minima.items()},
            {column: values[index] for column, values in window.maxima.items()},
            window.runs[index],
        ),
        frozenset(away),
    )


def _add_limit(layout: Json, window: Window) -> None:
    limits = window.means.get(Series.LIMIT)
    peaks = window.maxima[Series.RSS]
    if limits is None or not known(limits) or not known(peaks):
        return
    limit = int(limits[np.isfinite(limits)][-1])
    add_levels(layout, [(_("limit"), "limit", limit)], float(np.nanmax(peaks)), in_sight=_LIMIT_IN_SIGHT)


def owners_chart(ledger: Ledger, *, height: int = 0) -> Chart:
    """Return the owners of one ledger as bars, largest first, with MB and their share of RSS."""
    found = sorted(((size, owner) for owner, size in ledger.owners.items() if size > 0), reverse=True)
    layout = base_layout(height or 48 + 24 * max(1, len(found)))
    biggest = found[0][0] / MEGABYTE if found else 1.0
    total = max(1, ledger.rss)
    labels = [
        _("{size} MB, {share} %").format(size=f"{size / MEGABYTE:,.1f}", share=f"{100 * size / total:.1f}")
        for size, _owner in found
    ]
    layout["xaxis"] = {**axis(_("MB")), "range": [0, round(biggest, 1)], "fixedrange": True}
    layout["yaxis"] = {**axis(), "autorange": "reversed", "showgrid": False, "fixedrange": True}
    layout["showlegend"] = False
    layout["bargap"] = 0.25
    layout["margin"] = {"l": 8, "r": label_room(labels), "t": 8, "b": 28}
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(size / MEGABYTE, 2) for size, _owner in found],
        "y": [owner_name(owner) for _size, owner in found],
        "text": labels,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "marker": {"color": [owner_colour(owner) for _size, owner in found]},
    }
    return Chart("owners", _("The ledger now"), (bars,), layout)
