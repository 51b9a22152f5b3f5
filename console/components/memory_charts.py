"""The live charts of the memory page."""

from __future__ import annotations

import streamlit as st

from console.boundary import guarded
from console.components.chart import draw
from console.components.heartbeat import heartbeat
from console.components.memory_board import board
from console.ranges import PACES, Range, range_name
from console.state import Key, Query, query, set_query
from services.runtime import Runtime
from services.texts import _

# A process younger than this, in seconds, is shown by its first minutes: an hour of nothing tells nobody anything.
_YOUNG = 900.0


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
def charts(runtime: Runtime, choice: Range) -> None:
    """Draw the charts of a range and keep them fresh."""
    shown = board(runtime, choice)
    if shown.empty:
        st.info(_("There is no history in this range yet."), icon=":material/hourglass_top:")
    draw(shown.ledger, key="chart-ledger")
    with st.grid(2, min_column_width=320, gap="medium"):
        for name, drawn in shown.lines.items():
            with st.container(gap="xsmall"):
                draw(drawn, key=f"chart-{name}")
        if shown.requests is not None:
            with st.container(gap="xsmall"):
                draw(shown.requests, key="chart-requests")
    if "gpu" not in shown.lines:
        st.caption(_("There is no GPU in this machine that can be watched."))
    heartbeat("memory-charts", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else PACES[choice].beat)
