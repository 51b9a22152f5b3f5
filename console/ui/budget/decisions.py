"""The decisions of the budget: over time in a chart, and as a list with evidence and effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from console.ui.budget.gauge import LEVEL_COLOURS, level_word
from console.ui.charts.annotations import add_levels, inert, restart_shapes
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.event_links import open_moment
from console.ui.charts.figure import EVENTS, Chart, Json, known, line, moments, numbers, time_layout
from console.ui.charts.palette import colour, owner_name
from console.ui.charts.shown_time import shown_time
from console.ui.error_boundary import guarded
from console.ui.session_state import Key
from console.ui.shared.formatting import escape, local_time, signed_size, size
from console.ui.shared.heartbeat import TickCache, heartbeat
from services.app.container import Services
from services.core.i18n import _, labelled, listed
from services.core.machine import MEGABYTE
from services.core.time_ranges import PACING, Range, range_label
from services.memory.budget.types import Budget, Decision, DecisionKind
from services.memory.types import Series, Window

BUDGET_POINTS = 400
BUDGET_COLUMNS: tuple[str, ...] = (Series.RSS, Series.LIMIT)
_MOST_DECISIONS = 100
_IN_SIGHT = 0.6  # of the soft watermark: below, drawing it would press the curve flat
_SYMBOLS = {
    DecisionKind.TAKEN: "triangle-down",
    DecisionKind.UNDONE: "triangle-up",
    DecisionKind.FAILED: "x",
    DecisionKind.REFUSED: "square",
    DecisionKind.LEVEL: "circle",
    DecisionKind.MODE: "diamond",
}
_PERIOD_SECONDS = 3.0
_YOUNG_SECONDS = 900.0
_MOST_ROWS = 60
_MOST_OWNERS = 3
_LEAST_BYTES = 256 * 1024
_RANGES = (Range.MINUTES, Range.HOUR, Range.DAY)
_charts: TickCache[EncodedChart] = TickCache(most=len(_RANGES))
_ICONS = {
    DecisionKind.LEVEL: ":material/height:",
    DecisionKind.TAKEN: ":material/bolt:",
    DecisionKind.UNDONE: ":material/undo:",
    DecisionKind.PASSED_OVER: ":material/skip_next:",
    DecisionKind.FAILED: ":material/error:",
    DecisionKind.REFUSED: ":material/block:",
    DecisionKind.MODE: ":material/toggle_on:",
}


def chart_view(services: Services) -> None:
    """Draw the chart with the choice of its range."""
    young = services.memory.clock.time() - services.memory.history.run_start() < _YOUNG_SECONDS
    choice = st.segmented_control(
        _("Range"),
        _RANGES,
        key=Key.BUDGET_RANGE,
        default=Range.MINUTES if young else Range.HOUR,
        required=True,
        format_func=range_label,
        label_visibility="collapsed",
    )
    _chart(services, Range(choice or Range.HOUR))


@st.fragment
@guarded
def _chart(services: Services, choice: Range) -> None:
    drawn = _charts.get((id(services), choice), PACING[choice].refresh_seconds / 2, lambda: _build(services, choice))
    open_moment(draw_chart(drawn, key="chart-budget"))
    heartbeat("budget-chart", PACING[choice].refresh_seconds)


def _build(services: Services, choice: Range) -> EncodedChart:
    memory = services.memory
    shown = shown_time(memory, choice, BUDGET_POINTS)
    window = memory.history.window(shown.start, shown.end, columns=BUDGET_COLUMNS, points=BUDGET_POINTS)
    state, decisions = services.governor.state(), services.governor.decisions()
    return EncodedChart.of(budget_chart(window, state.budget, decisions, span=shown.span, note=shown.note))


@st.fragment
@guarded
def decisions_view(services: Services) -> None:
    """Draw the decisions, newest first, and keep them up to date."""
    st.subheader(_("Decisions"), anchor=False)
    found = services.governor.decisions(_MOST_ROWS)
    if not found:
        st.caption(_("No decisions yet: memory stayed below the soft watermark."))
    else:
        with st.container(border=True, gap="small", height=420 if len(found) > 5 else "content", key="decisions"):
            for decision in found:
                because = _because(decision)
                st.markdown(_headline(decision) + (f"  \n:gray[:small[{because}]]" if because else ""))
    heartbeat("budget-decisions", _PERIOD_SECONDS)


def _headline(decision: Decision) -> str:
    """Return time, action and outcome as Markdown."""
    time = local_time(decision.time).strftime(_("%d %b %H:%M:%S"))
    text = escape(labelled(decision.label, decision.outcome))
    if decision.kind is not DecisionKind.PASSED_OVER:
        text = f"**{text}**"
    dry = f" :gray-badge[{escape(_('dry run'))}]" if decision.dry_run else ""
    by = "" if decision.actor in {"", "millpond"} else f" :blue-badge[{escape(decision.actor)}]"
    return f"{_ICONS.get(decision.kind, ':material/bolt:')} {escape(time)} · {text}{dry}{by}"


def _because(decision: Decision) -> str:
    """Return the evidence and the effect as Markdown."""
    parts = [decision.evidence] if decision.evidence else []
    if decision.rss_after != decision.rss_before:
        parts.append(
            _("RSS {before} → {after} ({change})").format(
                before=size(decision.rss_before),
                after=size(decision.rss_after),
                change=signed_size(decision.rss_after - decision.rss_before),
            )
        )
    changes = sorted(
        (
            (decision.owners_after.get(owner, 0) - decision.owners_before.get(owner, 0), owner)
            for owner in {*decision.owners_before, *decision.owners_after}
        ),
        key=lambda entry: -abs(entry[0]),
    )
    owners = [
        f"{owner_name(owner)} {signed_size(by)}" for by, owner in changes[:_MOST_OWNERS] if abs(by) >= _LEAST_BYTES
    ]
    if owners:
        parts.append(listed(owners))
    return escape(" · ".join(parts))


def budget_chart(
    window: Window,
    budget: Budget,
    decisions: Sequence[Decision],
    *,
    span: tuple[float, float],
    note: str = "",
    height: int = 280,
) -> Chart:
    """Return RSS over time with the watermarks as they are now, and a mark for each decision where RSS then was.

    A click on a decision tells its time.
    """
    layout = time_layout(height, _("MB"), span=span)
    layout["shapes"] = restart_shapes(window)
    traces = [line(_("RSS"), numbers(window.means[Series.RSS], per=MEGABYTE), "rss", unit=_("MB"), width=2)]
    peaks = window.maxima[Series.RSS]
    top = float(np.nanmax(peaks)) if known(peaks) else 0.0
    if known(peaks) and float(np.nanmax(peaks - window.means[Series.RSS])) > MEGABYTE:
        traces.append(line(_("RSS, peak"), numbers(peaks, per=MEGABYTE), "peak", unit=_("MB"), width=1, dash="dot"))
    shown = [each for each in decisions if each.kind in _SYMBOLS and span[0] <= each.time <= span[1]][:_MOST_DECISIONS]
    if shown:
        traces.append(_marks(shown))
    marks = [(mark.level, budget.reached_bytes(mark.level)) for mark in budget.watermarks]
    if budget.limit and marks:
        levels = [(level_word(level).lower(), LEVEL_COLOURS[level], height) for level, height in marks]
        add_levels(layout, [*levels, (_("limit"), "limit", budget.limit)], top, in_sight=_IN_SIGHT)
    return Chart("budget", _("RSS, watermarks and decisions"), tuple(traces), layout, moments(window.times), note=note)


def _marks(decisions: Sequence[Decision]) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _("Decisions"),
        "x": [int(each.time * 1000) for each in decisions],
        "y": [round(each.rss_before / MEGABYTE, 1) for each in decisions],
        "meta": EVENTS,
        "customdata": [int(each.time) for each in decisions],
        "text": [inert(labelled(each.label, each.outcome))[:140] for each in decisions],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": [colour(LEVEL_COLOURS[each.level]) for each in decisions],
            "size": 10,
            "symbol": [_SYMBOLS[each.kind] for each in decisions],
            "line": {"color": colour("background"), "width": 1},
        },
    }
