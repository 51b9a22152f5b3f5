"""The live charts of the page "Memory" and their toolbar: range, pause, export. Built once per range and tick."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart
from console.ui.charts.ledger_charts import LEDGER_COLUMNS, LEDGER_POINTS, ledger_chart, owners_chart
from console.ui.charts.lines import LINE_COLUMNS, LINE_POINTS, TIME_CHARTS, requests_chart
from console.ui.error_boundary import guarded
from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.tick_cache import TickCache
from services.app.container import Services
from services.core.i18n import _
from services.core.time_ranges import PACING, Range, range_label, time_window

# A process younger than this, in seconds, is shown by its first minutes: an hour would be nearly empty.
_YOUNG = 900.0
_ZOOM = "memory"
_MOST_MARKS = 100


def range_bar(services: Services) -> Range:
    """Draw the range, the pause switch and the exports; return the range."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        choice = Range(
            st.segmented_control(
                _("Range"),
                list(Range),
                key=Key.MEMORY_RANGE,
                default=_range_from_address() or _default_range(services),
                required=True,
                format_func=range_label,
                label_visibility="collapsed",
                on_change=_store_in_address,
            )
        )
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.toggle(_("Pause"), key=Key.MEMORY_PAUSE, help=_("Stops updates of this page until it is switched off."))
            _exports(choice)
    return choice


def _range_from_address() -> Range | None:
    name = query(Query.RANGE)
    return Range(name) if name in set(Range) else None


def _default_range(services: Services) -> Range:
    memory = services.memory
    return Range.MINUTES if memory.clock.time() - memory.history.run_start() < _YOUNG else Range.HOUR


def _store_in_address() -> None:
    set_query(Query.RANGE, st.session_state[Key.MEMORY_RANGE].value)


def _exports(choice: Range) -> None:
    address = f"/api/memory/history?range={choice.value}&download=true&format="
    with st.popover(_("Export"), icon=":material/download:"):
        st.link_button(_("History as CSV"), f"{address}csv", icon=":material/table:")
        st.link_button(_("History as JSON"), f"{address}json", icon=":material/data_object:")
        st.caption(_("To save a chart as an image or an HTML page, use the buttons at its upper right."))


@st.fragment
@guarded
def charts_view(services: Services, choice: Range) -> None:
    """Draw the charts of a range and keep them up to date."""
    shown = memory_charts(services, choice)
    if shown.empty:
        st.info(_("There is no history in this range yet."), icon=":material/hourglass_top:")
    draw_chart(shown.ledger, key="chart-ledger")
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


_charts_cache: TickCache[MemoryCharts] = TickCache(most=len(Range))
_owners_cache: TickCache[EncodedChart] = TickCache(most=2)


def memory_charts(services: Services, choice: Range) -> MemoryCharts:
    """Return the charts of a range, at most as old as its beat."""
    return _charts_cache.get(
        (id(services), choice), PACING[choice].refresh_seconds / 2, lambda: _build(services, choice)
    )


def encoded_owners_chart(services: Services) -> EncodedChart | None:
    """Return the chart of the newest ledger, None before the first."""
    ledger = services.memory.ledger.last
    if ledger is None:
        return None
    return _owners_cache.get((id(services), ledger.time), 3600.0, lambda: EncodedChart.of(owners_chart(ledger)))


def _build(services: Services, choice: Range) -> MemoryCharts:
    history, now = services.memory.history, services.memory.clock.time()
    start, end = time_window(choice, now, LEDGER_POINTS)
    stacked = history.window(start, end, columns=LEDGER_COLUMNS, points=LEDGER_POINTS)
    events = services.events.between(start, end, _MOST_MARKS)
    seen = (now - PACING[choice].seconds, now)
    ledger = ledger_chart(stacked, events, span=seen, zoom=_ZOOM)
    start, end = time_window(choice, now, LINE_POINTS)
    fine = history.window(start, end, columns=LINE_COLUMNS, points=LINE_POINTS)
    charts: list[Chart | None] = [make(fine, span=seen, zoom=_ZOOM) for make in TIME_CHARTS]
    requests = requests_chart(fine, per_request=services.memory.detector.verdict.per_request)
    return MemoryCharts(
        _encoded(ledger, choice),
        {chart.name: _encoded(chart, choice) for chart in charts if chart is not None},
        _encoded(requests, choice) if requests else None,
        len(fine) == 0,
    )


def _encoded(chart: Chart, choice: Range) -> EncodedChart:
    return EncodedChart.of(replace(chart, subject=f"{choice}{chart.subject}"))
