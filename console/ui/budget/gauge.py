"""Memory use against the limit: one sentence, a gauge with the watermarks, and the main figures."""

from __future__ import annotations

import streamlit as st

from console.ui.charts.chart import EncodedChart, draw_chart
from console.ui.charts.figure import Chart, Json, base_layout
from console.ui.charts.palette import colour
from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.shared.formatting import escape, minutes, size, time_of_day
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import Remedy, remedy_links
from services.app.container import Services
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.budget.messages import source_name
from services.memory.budget.types import BudgetLevel, GovernorState

PERIOD_SECONDS = 2.0
LEVEL_ICONS = {
    BudgetLevel.CALM: ":material/check_circle:",
    BudgetLevel.SOFT: ":material/compress:",
    BudgetLevel.HIGH: ":material/priority_high:",
    BudgetLevel.HARD: ":material/front_hand:",
}
LEVEL_COLOURS = {BudgetLevel.CALM: "calm", BudgetLevel.SOFT: "soft", BudgetLevel.HIGH: "high", BudgetLevel.HARD: "hard"}
_TEXT_COLOURS = {
    BudgetLevel.CALM: "green",
    BudgetLevel.SOFT: "orange",
    BudgetLevel.HIGH: "orange",
    BudgetLevel.HARD: "red",
}


@st.fragment
@guarded
def gauge_view(services: Services) -> None:
    """Draw level, gauge and figures, and keep them up to date."""
    rerun_for_notices()
    state = services.governor.state()
    with st.container(border=True, gap="xsmall", key="budget-head"):
        mark = f":{_TEXT_COLOURS[state.level]}[{LEVEL_ICONS[state.level]}]"
        st.markdown(f"#### {mark} {escape(state_sentence(state))}")
        if state.budget.limit:
            draw_chart(EncodedChart.of(gauge_chart(state)), key="chart-gauge", titled=False)
        st.caption(escape(_where(state)))
        for line in _notes(services, state):
            st.caption(line)
    if state.warning:
        st.warning(escape(state.warning), icon=":material/warning:")
    if state.warning or not state.budget.limit:
        remedy_links([Remedy.SETTINGS])
    heartbeat("budget-head", PERIOD_SECONDS)


def state_sentence(state: GovernorState) -> str:
    """Return level, use and limit in one sentence."""
    if not state.budget.limit:
        return _("No limit known: {used} used").format(used=size(state.used_bytes))
    use = _("{level}: {used} of {limit}").format(
        level=level_word(state.level), used=size(state.used_bytes), limit=size(state.budget.limit)
    )
    if not state.enabled:
        return _("{use}; the budget is paused").format(use=use)
    return _("{use}; dry run, nothing is done").format(use=use) if state.dry_run else use


def _where(state: GovernorState) -> str:
    """Return the watermarks in bytes and the source of the limit."""
    budget = state.budget
    if not budget.limit:
        return _("Set MILLPOND_MEMORY_LIMIT_MB to set a limit.")
    marks = " · ".join(
        _("{level} from {bytes}").format(
            level=level_word(mark.level).lower(), bytes=size(budget.reached_bytes(mark.level))
        )
        for mark in budget.watermarks
    )
    return _("{marks} · the limit of {limit} is {source}").format(
        marks=marks, limit=size(budget.limit), source=source_name(budget.source)
    )


def _notes(services: Services, state: GovernorState) -> list[str]:
    parts = [_("At {time}").format(time=time_of_day(state.measured_at))]
    if state.level is not BudgetLevel.CALM:
        since = max(0.0, services.clock.time() - state.since)
        parts.append(_("Above normal for {time}").format(time=minutes(since)))
    if state.ready_rss_bytes:
        parts.append(_("{size} after the start").format(size=size(state.ready_rss_bytes)))
    if state.peak_bytes:
        parts.append(_("peak {size}").format(size=size(state.peak_bytes)))
    if state.reserved_bytes:
        parts.append(_("{size} reserved for work in progress").format(size=size(state.reserved_bytes)))
    if state.used_bytes > state.rss_bytes:
        parts.append(_("{size} of it in this process").format(size=size(state.rss_bytes)))
    return [escape(" · ".join(parts))]


def level_word(level: BudgetLevel) -> str:
    """Return the name of a level, capitalised."""
    return {
        BudgetLevel.CALM: _("Normal"),
        BudgetLevel.SOFT: _("Soft"),
        BudgetLevel.HIGH: _("High"),
        BudgetLevel.HARD: _("Hard"),
    }[level]


def gauge_chart(state: GovernorState) -> Chart:
    """Return one bar from 0 to the limit: zones between the watermarks, over them used and reserved memory."""
    budget = state.budget
    limit = max(budget.limit, 1)
    top = max(limit, state.used_bytes + state.reserved_bytes)
    layout = base_layout(88)
    layout["margin"] = {"l": 2, "r": 40, "t": 34, "b": 2}  # the highest mark's name goes on beyond the limit
    layout["showlegend"] = False
    layout["barmode"] = "overlay"
    layout["xaxis"] = {"range": [0, top / MEGABYTE], "visible": False, "fixedrange": True}
    layout["yaxis"] = {"range": [0, 1], "visible": False, "fixedrange": True}
    layout["hovermode"] = "closest"
    borders = [0, *(budget.reached_bytes(mark.level) for mark in budget.watermarks), limit]
    levels = [BudgetLevel.CALM, *(mark.level for mark in budget.watermarks)]
    layout["shapes"] = [
        _box(left, right, 0.0, 1.0, f"zone-{LEVEL_COLOURS[level]}")
        for level, left, right in zip(levels, borders[:-1], borders[1:], strict=True)
    ]
    layout["annotations"] = [
        {
            "text": level_word(mark.level).lower(),
            "x": budget.reached_bytes(mark.level) / MEGABYTE,
            "y": 1.0,
            # In two lines, the last one ending where the bar does: on a phone they are wider than their zones.
            "yshift": 14 * (place % 2),
            "yanchor": "bottom",
            "xanchor": "left",
            "showarrow": False,
            "font": {"color": colour(LEVEL_COLOURS[mark.level]), "size": 11},
        }
        for place, mark in enumerate(budget.watermarks)
    ]
    if layout["annotations"]:
        layout["annotations"][-1] |= {"x": top / MEGABYTE, "xanchor": "right"}
    shade = LEVEL_COLOURS[state.level]
    own = min(state.rss_bytes, state.used_bytes)
    bars = [_bar(_("This process"), 0, own, shade, 1.0)]
    if state.used_bytes - own > MEGABYTE:
        bars.append(_bar(_("Others in the container"), own, state.used_bytes - own, shade, 0.55))
    if state.reserved_bytes:
        bars.append(_bar(_("Reserved for work in progress"), state.used_bytes, state.reserved_bytes, shade, 0.3))
    return Chart("gauge", _("Use against the limit"), tuple(bars), layout, tools=False)


def _box(left: int, right: int, bottom: float, top: float, shade: str) -> Json:
    return {
        "type": "rect",
        "layer": "below",
        "x0": left / MEGABYTE,
        "x1": right / MEGABYTE,
        "y0": bottom,
        "y1": top,
        "fillcolor": colour(shade),
        "line": {"width": 0},
    }


def _bar(name: str, base: int, width: int, shade: str, opacity: float) -> Json:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [0.5],
        "x": [round(width / MEGABYTE, 1)],
        "base": [round(base / MEGABYTE, 1)],
        "width": [0.46],
        "meta": _("MB"),
        "marker": {"color": colour(shade), "opacity": opacity, "line": {"width": 0}},
        "hovertemplate": f"{name}: {width / MEGABYTE:,.0f} {_('MB')}<extra></extra>",
    }
