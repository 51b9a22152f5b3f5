"""The memory budget as charts: use against the watermarks now, and over time with what was decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.ui.charts.annotations import inert, restart_shapes
from console.ui.charts.figure import MEGABYTE, Chart, Json, base_layout, known, line, moments, numbers, time_layout
from console.ui.charts.palette import colour
from services.core.i18n import _
from services.memory.budget.types import Budget, BudgetLevel, Decision, DecisionKind, GovernorState
from services.memory.types import Series, Window

BUDGET_POINTS = 400
BUDGET_COLUMNS: tuple[str, ...] = (Series.RSS, Series.LIMIT)
_MOST_DECISIONS = 100
_IN_SIGHT = 0.6  # of the soft watermark: below, drawing it would press the curve flat
_WORD_PIXELS = 36
_SYMBOLS = {
    DecisionKind.TAKEN: "triangle-down",
    DecisionKind.UNDONE: "triangle-up",
    DecisionKind.FAILED: "x",
    DecisionKind.REFUSED: "square",
    DecisionKind.LEVEL: "circle",
    DecisionKind.MODE: "diamond",
}
LEVEL_COLOURS = {BudgetLevel.CALM: "calm", BudgetLevel.SOFT: "soft", BudgetLevel.HIGH: "high", BudgetLevel.HARD: "hard"}


def level_word(level: BudgetLevel) -> str:
    """Return a level's name at the beginning of a sentence."""
    return {
        BudgetLevel.CALM: _("Calm"),
        BudgetLevel.SOFT: _("Soft"),
        BudgetLevel.HIGH: _("High"),
        BudgetLevel.HARD: _("Hard"),
    }[level]


def gauge_chart(state: GovernorState) -> Chart:
    """Return one bar from 0 to the limit: zones between the watermarks, over them what is used and promised."""
    budget = state.budget
    limit = max(budget.limit, 1)
    top = max(limit, state.used_bytes + state.reserved_bytes)
    layout = base_layout(74)
    layout["margin"] = {"l": 2, "r": 2, "t": 20, "b": 2}
    layout["showlegend"] = False
    layout["barmode"] = "overlay"
    layout["xaxis"] = {"range": [0, top / MEGABYTE], "visible": False, "fixedrange": True}
    layout["yaxis"] = {"range": [0, 1], "visible": False, "fixedrange": True}
    layout["hovermode"] = "closest"
    borders = [0, *(budget.reached(mark.level) for mark in budget.watermarks), limit]
    levels = [BudgetLevel.CALM, *(mark.level for mark in budget.watermarks)]
    layout["shapes"] = [
        _box(left, right, 0.0, 1.0, f"zone-{LEVEL_COLOURS[level]}")
        for level, left, right in zip(levels, borders[:-1], borders[1:], strict=True)
    ]
    layout["annotations"] = [
        {
            "text": level_word(mark.level).lower(),
            "x": budget.reached(mark.level) / MEGABYTE,
            "y": 1.0,
            "yanchor": "bottom",
            "xanchor": "left",
            "showarrow": False,
            "font": {"color": colour(LEVEL_COLOURS[mark.level]), "size": 11},
        }
        for mark in budget.watermarks
    ]
    shade = LEVEL_COLOURS[state.level]
    own = min(state.rss_bytes, state.used_bytes)
    bars = [_bar(_("This process"), 0, own, shade, 1.0)]
    if state.used_bytes - own > MEGABYTE:
        bars.append(_bar(_("Others in the container"), own, state.used_bytes - own, shade, 0.55))
    if state.reserved_bytes:
        bars.append(_bar(_("Promised to work in progress"), state.used_bytes, state.reserved_bytes, shade, 0.3))
    return Chart("gauge", _("Use against the limit"), tuple(bars), layout)


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
        "marker": {"color": colour(shade), "opacity": opacity, "line": {"width": 0}},
        "hovertemplate": f"{name}: {width / MEGABYTE:,.0f} {_('MB')}<extra></extra>",
    }


def budget_chart(
    window: Window, budget: Budget, decisions: Sequence[Decision], *, span: tuple[float, float], height: int = 280
) -> Chart:
    """Return RSS over time with the watermarks as they are now, and a mark for each decision where RSS then was."""
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
    marks = [(mark.level, budget.reached(mark.level)) for mark in budget.watermarks]
    if budget.limit and marks and top >= _IN_SIGHT * marks[0][1]:
        _add_lines(layout, budget, marks)
        layout["yaxis"]["range"] = [0, round(max(top, budget.limit) / MEGABYTE * 1.06, 1)]
    return Chart("budget", _("RSS, watermarks and decisions"), tuple(traces), layout, moments(window.times))


def _marks(decisions: Sequence[Decision]) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _("Decisions"),
        "x": [int(each.time * 1000) for each in decisions],
        "y": [round(each.rss_before / MEGABYTE, 1) for each in decisions],
        "text": [inert(": ".join(part for part in (each.label, each.outcome) if part))[:140] for each in decisions],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": [colour(LEVEL_COLOURS[each.level]) for each in decisions],
            "size": 10,
            "symbol": [_SYMBOLS[each.kind] for each in decisions],
            "line": {"color": colour("background"), "width": 1},
        },
    }


def _add_lines(layout: Json, budget: Budget, marks: Sequence[tuple[BudgetLevel, int]]) -> None:
    named = [(level_word(level).lower(), LEVEL_COLOURS[level], height) for level, height in marks]
    layout.setdefault("annotations", [])
    for place, (text, shade, height) in enumerate((*named, (_("limit"), "limit", budget.limit))):
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": round(height / MEGABYTE, 1),
                "y1": round(height / MEGABYTE, 1),
                "line": {"color": colour(shade), "width": 1.2, "dash": "dot"},
            }
        )
        layout["annotations"].append(
            {
                "text": text,
                "xref": "paper",
                "x": 0.004,
                "xshift": _WORD_PIXELS * place,  # the lines may lie closer than words are high
                "y": round(height / MEGABYTE, 1),
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"color": colour(shade), "size": 11},
            }
        )
