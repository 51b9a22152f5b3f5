"""Annotations of charts over time: events, restarts, the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.ui.charts.figure import Json
from console.ui.charts.palette import colour
from services.core.events import EventKind
from services.core.i18n import _
from services.memory.types import Window
from services.operations.event_log import Event

MOST_EVENTS = 100
_MOST_LABELS = 8
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
        EventKind.BACKUP: _("Backup"),
    }.get(kind, str(kind))


def event_trace(events: Sequence[Event]) -> Json:
    """Return the newest events as markers along the upper edge, with their description on hover."""
    shown = events[-MOST_EVENTS:]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _("Events"),
        "x": [int(event.time * 1000) for event in shown],
        "y": [0.97] * len(shown),
        "yaxis": "y3",
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


def add_limit(layout: Json, limit_mb: float, text: str) -> None:
    """Add the limit to a layout, as a labelled line across the chart."""
    height = round(limit_mb, 1)
    layout["shapes"].append(
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": height,
            "y1": height,
            "line": {"color": colour("limit"), "width": 1.5, "dash": "dot"},
        }
    )
    layout["annotations"] = [
        {
            "text": text,
            "xref": "paper",
            "x": 0.004,
            "y": height,
            "xanchor": "left",
            "yanchor": "top",
            "showarrow": False,
            "font": {"color": colour("limit"), "size": 11},
        }
    ]
