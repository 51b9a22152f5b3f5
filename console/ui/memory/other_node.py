"""The memory of another node on the page "Memory": what it tells over its API, drawn as this node's own is."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import streamlit as st

from console.navigation import PageName
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.lines import LINE_COLUMNS, LINE_POINTS
from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.memory.charts import (
    LEDGER_COLUMNS,
    LEDGER_POINTS,
    MOST_MARKS,
    MemoryCharts,
    drawn_charts,
    owners_chart,
    range_bar,
)
from console.ui.memory.details import draw_events
from console.ui.memory.ledger import draw_ledger
from console.ui.memory.sections import MemorySection, section_links
from console.ui.memory.verdict import STATE_COLOURS, STATE_ICONS, draw_figures, draw_suspects
from console.ui.nodes.own_pages import own_pages_link
from console.ui.session_state import Key
from console.ui.shared.formatting import escape, time_of_day
from console.ui.shared.heartbeat import TickCache, heartbeat
from services.app.container import Services
from services.app.listed_nodes import shared_nodes
from services.app.node_memory import NodeMemory, NodeVerdict, OtherNode
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.time_ranges import PACING, Range, time_window
from services.memory.types import Series, Window
from services.nodes.types import Node
from services.operations.event_log import Event

# Each is a request to the other node, however many tabs are open.
_PERIOD_SECONDS = 4.0
_MOST_STEPS = 8
_HARDLY = 0.03  # of a range: the time axis begins with the first sample where that is later by more


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a node told for a range, ready to be drawn; without a ledger there is no chart of owners."""

    charts: MemoryCharts
    owners: EncodedChart | None
    events: list[Event]


_memories: TickCache[NodeMemory] = TickCache(most=8)
_drawings: TickCache[_Drawn] = TickCache(most=2 * len(Range))


def other_node_views(services: Services, node: Node) -> None:
    """Draw everything that the page shows of another node."""
    with st.container(horizontal=True, vertical_alignment="center", key="other-node"):
        words = _("This is the memory of the node {name}, as it tells it. What can be done is on its own pages.")
        st.caption(escape(words.format(name=node.name)), width="stretch")
        own_pages_link(services, node, PageName.MEMORY)
    section_links(besides=(MemorySection.REQUESTS,))
    _verdict_view(services, node)
    choice = range_bar(time.time() - node.started_at, f"./api/nodes/{node.number}/memory")
    _charts_view(services, node, choice)


@st.fragment
@guarded
def _verdict_view(services: Services, node: Node) -> None:
    _beat("memory-other-verdict", _PERIOD_SECONDS)
    rerun_for_notices()
    try:
        shown = _memory(services, node)
    except MillpondError as error:  # it is looked for again with the next beat
        st.error(escape(error.hint), title=escape(error.message), icon=":material/link_off:")
        return
    _verdict(shown.verdict)
    draw_figures(shown)


@st.fragment
@guarded
def _charts_view(services: Services, node: Node, choice: Range) -> None:
    _beat("memory-other-charts", max(_PERIOD_SECONDS, PACING[choice].refresh_seconds))
    try:
        shown = _memory(services, node)
        drawn = _drawings.get(
            (id(services), node.number, choice),
            max(_PERIOD_SECONDS, PACING[choice].refresh_seconds) / 2,
            lambda: _draw(_asked(services, node), shown, choice),
        )
    except MillpondError:  # as the verdict says
        st.caption(escape(_("Nothing is known until the node answers.")))
        return
    if drawn.charts.empty:
        st.info(_("There is no history in this range yet."), icon=":material/hourglass_top:")
    draw_chart(drawn.charts.ledger, key="chart-other-ledger")
    with st.grid(2, min_column_width=320, gap="medium"):
        for name, chart in drawn.charts.lines.items():
            with st.container(gap="xsmall"):
                draw_chart(chart, key=f"chart-other-{name}")
    st.subheader(_("The ledger now"), anchor=MemorySection.LEDGER)
    if shown.ledger is None or drawn.owners is None:
        st.info(
            _("The first one follows within half a minute of the start."),
            title=_("No ledger yet"),
            icon=":material/hourglass_top:",
        )
    else:
        draw_ledger(shown, shown.ledger, drawn.owners, key="chart-other-owners")
    st.subheader(_("Events"), anchor=MemorySection.EVENTS)
    if drawn.events:
        draw_events(drawn.events)
    else:
        st.caption(_("No events in this range."))


def _beat(key: str, seconds: float) -> None:
    heartbeat(key, 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else seconds)


def _asked(services: Services, node: Node) -> OtherNode:
    return OtherNode(shared_nodes(services), page_actor(services), node.number)


def _memory(services: Services, node: Node) -> NodeMemory:
    return _memories.get((id(services), node.number), _PERIOD_SECONDS / 2, lambda: _asked(services, node).memory())


def _verdict(verdict: NodeVerdict) -> None:
    with st.container(border=True, gap="xsmall", key="verdict"):
        mark = f":{STATE_COLOURS[verdict.state]}[{STATE_ICONS[verdict.state]}]"
        st.markdown(f"#### {mark} {escape(verdict.headline)}")
        told = _("As of {time}").format(time=time_of_day(verdict.time))
        st.caption(told + "".join(f" · {escape(step)}" for step in verdict.steps[-_MOST_STEPS:]))
        for line in verdict.evidence:
            st.caption(escape(line))
        if verdict.suspects:
            draw_suspects(verdict.suspects, linked=False)


def _draw(asked: OtherNode, shown: NodeMemory, choice: Range) -> _Drawn:
    now, seconds = shown.time, PACING[choice].seconds
    stacked = _history(asked, choice, now, LEDGER_COLUMNS, LEDGER_POINTS)
    known = stacked.times[np.isfinite(stacked.means[Series.RSS])]
    first = float(known[0]) if len(known) else now
    late = first - (now - seconds) > _HARDLY * seconds
    if late:  # finer, as there is nothing before
        stacked = _history(asked, choice, now, LEDGER_COLUMNS, LEDGER_POINTS, since=first)
    fine = _history(asked, choice, now, LINE_COLUMNS, LINE_POINTS, since=first if late else None)
    events = asked.events(now - seconds, now, MOST_MARKS)
    span = (min(first, now - 60.0), now) if late else (now - seconds, now)
    charts = drawn_charts(stacked, fine, events, choice, span=span)
    owners = None if shown.ledger is None else EncodedChart.of(owners_chart(shown.ledger))
    return _Drawn(charts, owners, events)


def _history(
    asked: OtherNode, choice: Range, now: float, columns: tuple[str, ...], points: int, *, since: float | None = None
) -> Window:
    start, end = time_window(choice, now, points, since=since)
    return asked.history(start, end, columns, points)
