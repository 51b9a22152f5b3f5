"""What the budget did and why: over time in a chart, below it one by one."""

from __future__ import annotations

import streamlit as st

from console.ui.budget.charts import BUDGET_COLUMNS, BUDGET_POINTS, budget_chart
from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.palette import owner_name
from console.ui.error_boundary import guarded
from console.ui.session_state import Key
from console.ui.shared.formatting import escape, local_time, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.tick_cache import TickCache
from services.app.container import Services
from services.core.i18n import _
from services.core.time_ranges import PACES, Range, range_name, span
from services.memory.budget.types import Decision, DecisionKind

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
        format_func=range_name,
        label_visibility="collapsed",
    )
    _chart(services, Range(choice or Range.HOUR))


@st.fragment
@guarded
def _chart(services: Services, choice: Range) -> None:
    drawn = _charts.get((id(services), choice), PACES[choice].beat / 2, lambda: _build(services, choice))
    draw_chart(drawn, key="chart-budget")
    heartbeat("budget-chart", PACES[choice].beat)


def _build(services: Services, choice: Range) -> EncodedChart:
    now = services.memory.clock.time()
    start, end = span(choice, now, BUDGET_POINTS)
    window = services.memory.history.window(start, end, columns=BUDGET_COLUMNS, points=BUDGET_POINTS)
    return EncodedChart.of(
        budget_chart(
            window,
            services.governor.state().budget,
            services.governor.decisions(),
            span=(now - PACES[choice].seconds, now),
        )
    )


@st.fragment
@guarded
def decisions_view(services: Services) -> None:
    """Draw what was decided, the newest first, and keep it fresh."""
    st.subheader(_("What was decided"), anchor=False)
    found = services.governor.decisions(_MOST_ROWS)
    if not found:
        st.caption(_("Nothing had to be decided yet: memory stayed under the soft watermark."))
    else:
        with st.container(border=True, gap="small", height=420 if len(found) > 5 else "content", key="decisions"):
            for decision in found:
                because = _because(decision)
                st.markdown(_headline(decision) + (f"  \n:gray[:small[{because}]]" if because else ""))
    heartbeat("budget-decisions", _PERIOD_SECONDS)


def _headline(decision: Decision) -> str:
    """Return when, what and how it ended."""
    time = local_time(decision.time).strftime("%d %b %H:%M:%S")
    told = ": ".join(escape(part) for part in (decision.label, decision.outcome) if part)
    if decision.kind is not DecisionKind.PASSED_OVER:
        told = f"**{told}**"
    dry = f" :gray-badge[{escape(_('dry run'))}]" if decision.dry_run else ""
    by = "" if decision.actor in {"", "millpond"} else f" :blue-badge[{escape(decision.actor)}]"
    return f"{_ICONS.get(decision.kind, ':material/bolt:')} {escape(time)} · {told}{dry}{by}"


def _because(decision: Decision) -> str:
    """Return the evidence before and the effect after."""
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
    told = [f"{owner_name(owner)} {signed_size(by)}" for by, owner in changes[:_MOST_OWNERS] if abs(by) >= _LEAST_BYTES]
    if told:
        parts.append(", ".join(told))
    return escape(" · ".join(parts))
