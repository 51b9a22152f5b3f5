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
# Of the height: a level in the strip above the plot, the band of the events, what lies between.
_STRIP_EACH, _EVENTS_BAND, _GAP = 0.055, 0.05, 0.025
_LABEL_PIXELS = 36
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
        EventKind.NODE: _("Node"),
    }.get(kind, str(kind))


def event_trace(events: Sequence[Event]) -> Json:
    """Return the newest events as markers in their band: described on hover, a click tells the id."""
    shown = events[-MOST_EVENTS:]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _("Events"),
        "x": [int(event.time * 1000) for event in shown],
        "y": [0.5] * len(shown),
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


def add_event_band(layout: Json) -> None:
    """Make room for the events above the plot, where they cover no curve; before the levels are added."""
    layout["yaxis3"] = {"range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"}
    layout["hoversubplots"] = "axis"  # what is told of a moment has its events, too
    _share_height(layout, 1.0)


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


def add_levels(layout: Json, levels: Sequence[tuple[str, str, int]], top: float, *, in_sight: float) -> None:
    """Add lines for levels (text, colour, bytes, the lowest first) to a chart of megabytes that reaches `top` bytes.

    Where `top` is below `in_sight` of the lowest, they would press the curves flat: they lie in a strip of their own
    above the plot then, one below the other, which says so.
    """
    layout.setdefault("annotations", [])
    near = top >= in_sight * levels[0][2]
    strip = 1.0
    if near:
        layout["yaxis"]["range"] = [0, round(max(levels[-1][2], top) / MEGABYTE * 1.06, 1)]
    else:
        strip = 1.0 - _STRIP_EACH * (len(levels) + 0.5)
        layout["shapes"].append(_strip(strip))
    for place, (text, shade, level) in enumerate(levels):
        apart = not near and place == len(levels) - 1
        told = _("{limit} {size}, not to scale").format(limit=text, size=size(level)) if apart else text
        height = round(level / MEGABYTE, 1) if near else round(strip + _STRIP_EACH * (place + 0.75), 4)
        axis = "y" if near else "paper"
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "yref": axis,
                "y0": height,
                "y1": height,
                "line": {"color": colour(shade), "width": 1.3, "dash": "dot"},
            }
        )
        layout["annotations"].append(
            {
                "text": told,
                "xref": "paper",
                "x": 0.004,
                "xshift": _LABEL_PIXELS * place,  # the lines may be closer together than a label is high
                "yref": axis,
                "y": height,
                "xanchor": "left",
                "yanchor": "bottom" if near else "middle",
                "showarrow": False,
                "font": {"color": colour(shade), "size": 11},
                **({} if near else {"bgcolor": colour("background"), "borderpad": 0}),
            }
        )
    _share_height(layout, strip)


def _share_height(layout: Json, strip: float) -> None:
    """Give the plot what the strip of levels, which begins at `strip`, and the band of events leave of the height."""
    top = strip if strip == 1.0 else strip - _GAP
    if "yaxis3" in layout:
        layout["yaxis3"]["domain"] = [round(top - _EVENTS_BAND, 4), round(top, 4)]
        top -= _EVENTS_BAND + _GAP / 2
    layout["yaxis"]["domain"] = [0, round(top, 4)]


def _strip(begin: float) -> Json:
    """Return the ground of the strip above the plot."""
    return {
        "type": "rect",
        "layer": "below",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": "paper",
        "y0": round(begin, 4),
        "y1": 1,
        "fillcolor": colour("grid"),
        "opacity": 0.4,
        "line": {"width": 0},
    }
