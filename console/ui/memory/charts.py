"""The live charts of the memory page.

What the memory page shows, built once per range and tick: twenty open tabs cost hardly more than one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart
from console.ui.charts.ledger_charts import LEDGER_COLUMNS, LEDGER_POINTS, ledger_chart, owners_chart
from console.ui.charts.lines import LINE_COLUMNS, LINE_POINTS, TIME_CHARTS, requests_chart
from console.ui.error_boundary import guarded
from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Runtime
from services.core.i18n import _
from services.core.time_ranges import PACES, Range, range_name, span

# A process younger than this, in seconds, is shown by its first minutes: an hour of nothing tells nobody anything.
_YOUNG = 900.0
_ZOOM = "memory"
_MOST_MARKS = 100
Value = TypeVar("Value")


def range_bar(runtime: Runtime) -> Range:
    """Draw the choice of the range, the switch that pauses, and the exports; return the range."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        choice = Range(
            st.segmented_control(
                _("Range"),
                list(Range),
                key=Key.MEMORY_RANGE,
                default=_from_address() or _usual(runtime),
                required=True,
                format_func=range_name,
                label_visibility="collapsed",
                on_change=_to_address,
            )
        )
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.toggle(
                _("Pause"), key=Key.MEMORY_PAUSE, help=_("Nothing on this page changes until it is switched off.")
            )
            _exports(choice)
    return choice


def _from_address() -> Range | None:
    name = query(Query.RANGE)
    return Range(name) if name in set(Range) else None


def _usual(runtime: Runtime) -> Range:
    memory = runtime.memory
    return Range.MINUTES if memory.clock.time() - memory.history.run_start() < _YOUNG else Range.HOUR


def _to_address() -> None:
    set_query(Query.RANGE, st.session_state[Key.MEMORY_RANGE].value)


def _exports(choice: Range) -> None:
    address = f"/api/memory/history?range={choice.value}&download=true&format="
    with st.popover(_("Export"), icon=":material/download:"):
        st.link_button(_("History as CSV"), f"{address}csv", icon=":material/table:")
        st.link_button(_("History as JSON"), f"{address}json", icon=":material/data_object:")
        st.caption(_("Each chart can save itself as a picture or an HTML page: the buttons at its upper right."))


@st.fragment
@guarded
def charts_view(runtime: Runtime, choice: Range) -> None:
    """Draw the charts of a range and keep them fresh."""
    shown = memory_charts(runtime, choice)
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
        st.caption(_("There is no GPU in this machine that can be watched."))
    heartbeat("memory-charts", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else PACES[choice].beat)


class Shared(Generic[Value]):
    """Values that all tabs share for a tick of `seconds` each: the first to ask builds, the others wait for it.

    Keeps one value per key, at most `most` keys. Time is the process's own, whatever clock the samples have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, _Entry[Value]] = OrderedDict()

    def get(self, key: object, seconds: float, build: Callable[[], Value]) -> Value:
        """Return the value of `key`, built at most once per tick."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        with entry.lock:
            tick = int(time.monotonic() / seconds)
            if entry.value is None or entry.tick != tick:
                entry.value = build()
                entry.tick = tick
            return entry.value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


class _Entry(Generic[Value]):
    """One value, the tick that it was built in, and the lock under which that is done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tick = -1
        self.value: Value | None = None


@dataclass(frozen=True, slots=True)
class MemoryCharts:
    """The charts of one range: the ledger, those over time by name, growth per request (None: too few requests)."""

    ledger: EncodedChart
    lines: dict[str, EncodedChart]
    requests: EncodedChart | None
    empty: bool


_boards: Shared[MemoryCharts] = Shared(most=len(Range))


_owners: Shared[EncodedChart] = Shared(most=2)


def memory_charts(runtime: Runtime, choice: Range) -> MemoryCharts:
    """Return the charts of a range, at most as old as its beat."""
    return _boards.get((id(runtime), choice), PACES[choice].beat / 2, lambda: _build(runtime, choice))


def encoded_owners_chart(runtime: Runtime) -> EncodedChart | None:
    """Return the chart of the newest ledger, None before the first."""
    ledger = runtime.memory.ledger.last
    if ledger is None:
        return None
    return _owners.get((id(runtime), ledger.time), 3600.0, lambda: EncodedChart.of(owners_chart(ledger)))


def _build(runtime: Runtime, choice: Range) -> MemoryCharts:
    history, now = runtime.memory.history, runtime.memory.clock.time()
    start, end = span(choice, now, LEDGER_POINTS)
    stacked = history.window(start, end, columns=LEDGER_COLUMNS, points=LEDGER_POINTS)
    events = runtime.events.between(start, end, _MOST_MARKS)
    seen = (now - PACES[choice].seconds, now)
    ledger = ledger_chart(stacked, events, span=seen, zoom=_ZOOM)
    start, end = span(choice, now, LINE_POINTS)
    fine = history.window(start, end, columns=LINE_COLUMNS, points=LINE_POINTS)
    charts: list[Chart | None] = [make(fine, span=seen, zoom=_ZOOM) for make in TIME_CHARTS]
    requests = requests_chart(fine, per_request=runtime.memory.detector.verdict.per_request)
    return MemoryCharts(
        _drawn(ledger, choice),
        {chart.name: _drawn(chart, choice) for chart in charts if chart is not None},
        _drawn(requests, choice) if requests else None,
        len(fine) == 0,
    )


def _drawn(chart: Chart, choice: Range) -> EncodedChart:
    return EncodedChart.of(replace(chart, subject=f"{choice}{chart.subject}"))
