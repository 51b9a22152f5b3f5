"""Annotations of charts over time: events, restarts, the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.ui.charts.figure import EVENTS, Json
from console.ui.charts.palette import colour
from console.ui.shared.formatting import size
from services.core.events import EventKind
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.types import Window
from services.operations.event_log import Event

MOST_EVENTS = 100
_MOST_LABELS = 8
# Of the height: the plot below a strip of levels that are far above it, and where the strip begins.
_PLOT_BELOW_STRIP, _STRIP_FROM = 0.78, 0.82
_SYMBOLS = {
    EventKind.START: "triangle-right",
    EventKind.STOP: "square",
    EventKind.COLLECTION: "circle",
    EventKind.TRIM: "triangle-down",
    EventKind.UPLOAD: "triangle-up",
    EventKind.INGESTION: "triangle-up",
    EventKind.DELETION: "x",
    EventKind.VERDICT: "star",
}


def event_kind_name(kind: EventKind) -> str:
    """Return the name of a kind of event."""
    return {
        EventKind.START: _("Start"),
        EventKind.STOP: _("Stop"),
        EventKind.COLLECTION: _("Garbage collection"),
        EventKind.TRIM: _("Trim"),
        EventKind.UPLOAD: _("Upload"),
        EventKind.INGESTION: _("Ingestion"),
        EventKind.DELETION: _("Deletion"),
        EventKind.SNAPSHOT: _("Index snapshot"),
        EventKind.MODEL: _("Model"),
        EventKind.LIBRARY: _("Library"),
        EventKind.POLICY: _("Policy"),
        EventKind.SETTINGS: _("Settings"),
        EventKind.TRACING: _("Tracing"),
        EventKind.VERDICT: _("Verdict"),
        EventKind.RELEASE: _("Released"),
        EventKind.BUDGET: _("Budget"),
        EventKind.ACCESS: _("Access"),
        EventKind.RESTART: _("Restart"),
        EventKind.BREAKER: _("Circuit breaker"),
        EventKind.EXPERIMENT: _("Experiment"),
        EventKind.DAMAGE: _("Damaged file"),
        EventKind.UPGRADE: _("Upgrade"),
        EventKind.CERTIFICATE: _("Certificate"),
    }.get(kind, str(kind))


def event_trace(events: Sequence[Event]) -> Json:
    """Return the newest events as markers along the upper edge: described on hover, a click tells the id."""
    shown = events[-MOST_EVENTS:]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _("Events"),
        "x": [int(event.time * 1000) for event in shown],
        "y": [0.97] * len(shown),
        "yaxis": "y3",
        "meta": EVENTS,
        "customdata": [event.id for event in shown],
        "text": [inert(f"{event_kind_name(event.kind)}: {event.detail}".rstrip(": "))[:120] for event in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": colour("accent"),
            "size": 8,
            "symbol": [_SYMBOLS.get(event.kind, "diamond") for event in shown],
            "line": {"color": colour("background"), "width": 1},
        },
    }


def event_axis() -> Json:
    """Return the invisible axis of the event markers: 0 at the bottom, 1 at the top."""
    return {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}


def inert(text: str) -> str:
    """Return foreign text escaped for Plotly, which reads some HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def restarts(window: Window) -> list[tuple[float, float]]:
    """Return the gaps at restarts: last time before and first time after each, in seconds."""
    borders = np.flatnonzero(window.runs[1:] != window.runs[:-1])
    return [(float(window.times[i]), float(window.times[i + 1])) for i in borders.tolist()]


def restart_shapes(window: Window) -> list[Json]:
    """Return a dashed line at the start of each run, labelled if there are few."""
    found = restarts(window)
    text = _("restart") if len(found) <= _MOST_LABELS else ""
    return [
        {
            "type": "line",
            "x0": int(after * 1000),
            "x1": int(after * 1000),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": colour("quiet"), "width": 1, "dash": "dash"},
            "label": {
                "text": text,
                "textposition": "end",
                "textangle": 0,
                "xanchor": "left",
                "yanchor": "top",
                "font": {"color": colour("quiet"), "size": 10},
            },
        }
        for _before, after in found
    ]


def mark_moment(layout: Json, time: float) -> None:
    """Add a line across the chart at a moment in seconds since the epoch."""
    layout.setdefault("shapes", []).append(
        {
            "type": "line",
            "x0": int(time * 1000),
            "x1": int(time * 1000),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": colour("accent"), "width": 2},
        }
    )


def add_levels(
    layout: Json, levels: Sequence[tuple[str, str, int]], top: float, *, in_sight: float, label_pixels: int = 36
) -> None:
    """Add lines for levels (text, colour, bytes, the lowest first) to a chart of megabytes that reaches `top` bytes.

    Where `top` is below `in_sight` of the lowest, they would press the curves flat: they lie in a strip of their own
    above the plot then, which says so.
    """
    highest, lowest = levels[-1][2], levels[0][2]
    near = top >= in_sight * lowest
    if near:
        layout["yaxis"]["range"] = [0, round(max(highest, top) / MEGABYTE * 1.06, 1)]
    else:
        layout["yaxis"]["domain"] = [0, _PLOT_BELOW_STRIP]
        layout["shapes"].append(_strip())
    layout.setdefault("annotations", [])
    for place, (text, shade, level) in enumerate(levels):
        height = round(level / MEGABYTE, 1) if near else _in_strip(level, lowest, highest)
        axis = "y" if near else "paper"
        line = {"color": colour(shade), "width": 1.3, "dash": "dot"}
        layout["shapes"].append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": height, "y1": height, "line": line}
        )
        apart = not near and level == highest
        told = _("{limit} {size}, not to scale").format(limit=text, size=size(level)) if apart else text
        layout["annotations"].append(
            {
                "text": told,
                "xref": "paper",
                "x": 0.004,
                "xshift": label_pixels * place,  # the lines may be closer together than a label is high
                "yref": axis,
                "y": height,
                "xanchor": "left",
                "yanchor": "bottom" if near or level != highest else "top",
                "showarrow": False,
                "font": {"color": colour(shade), "size": 11},
            }
        )


def _strip() -> Json:
    """Return the ground of the strip above the plot."""
    return {
        "type": "rect",
        "layer": "below",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": "paper",
        "y0": _STRIP_FROM,
        "y1": 1,
        "fillcolor": colour("grid"),
        "opacity": 0.4,
        "line": {"width": 0},
    }


def _in_strip(level: int, lowest: int, highest: int) -> float:
    """Return how high a level lies in the strip, as a share of the whole plot."""
    share = 1.0 if highest == lowest else (level - lowest) / (highest - lowest)
    low, high = _STRIP_FROM + 0.02, 0.98
    return round(low + (high - low) * share, 4)
