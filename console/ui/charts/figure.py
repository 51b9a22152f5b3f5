"""Charts as data: Plotly's traces and layout as plain values, in which times and colours are filled in when drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from console.ui.charts.description import description
from console.ui.charts.palette import PALETTE, colour
from services.core.i18n import _

MOST_POINTS = 2000
# The `meta` of a trace of events: a click on one tells its `customdata`.
EVENTS = "events"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    A trace without `x` gets `times` (milliseconds since the epoch, sent once for all traces), unless it is one of
    nested parts, which have `ids`. `zoom` names the group of charts that zoom together, "" for none; a new `subject`
    resets the zoom. `note` is told beside the title; `tools` are the buttons that save the chart.
    """

    name: str
    title: str
    traces: tuple[Json, ...]
    layout: Json
    times: tuple[int, ...] = ()
    zoom: str = ""
    subject: str = ""
    note: str = ""
    tools: bool = True

    @property
    def points(self) -> int:
        """The number of points that are sent."""
        drawn: list[Sequence[object]] = [trace.get("ids") or trace.get("x") or self.times for trace in self.traces]
        return sum(map(len, drawn))

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.layout["height"])

    def encoded(self) -> bytes:
        """Return the chart as JSON for `chart.js`."""
        return json.dumps(
            {
                "name": self.name,
                "title": self.title,
                "description": description(self.traces, self.layout),
                "times": self.times,
                "traces": self.traces,
                "layout": self.layout,
                "zoom": self.zoom,
                "subject": self.subject,
                "note": self.note,
                "tools": self.tools,
            },
            separators=(",", ":"),
            allow_nan=False,
        ).encode()

    def figure(self, *, dark: bool = False) -> Json:
        """Return a complete Plotly figure in one theme, times in UTC."""
        traces = [trace if {"x", "ids"} & trace.keys() else {**trace, "x": list(self.times)} for trace in self.traces]
        return {"data": _painted(traces, dark=dark), "layout": _painted(self.layout, dark=dark)}


def _painted(value: Any, *, dark: bool) -> Any:
    if isinstance(value, str):
        return PALETTE[value[1:]][dark] if value.startswith("$") else value
    if isinstance(value, Mapping):
        return {name: _painted(entry, dark=dark) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_painted(entry, dark=dark) for entry in value]
    return value


def moments(times: NDArray[np.float64]) -> tuple[int, ...]:
    """Return times in seconds as milliseconds, for Plotly's date axes."""
    return tuple(int(time * 1000) for time in times.tolist())


def numbers(values: NDArray[np.float64], *, per: float = 1.0, digits: int = 2) -> list[float | None]:
    """Return values divided by `per` and rounded, None for unknown ones (JSON has no NaN)."""
    return [round(value, digits) if math.isfinite(value) else None for value in (values / per).tolist()]


def known(values: NDArray[np.float64] | None) -> bool:
    """Return whether a column has any finite value."""
    return values is not None and bool(np.isfinite(values).any())


def time_layout(height: int, unit: str, *, span: tuple[float, float], second: str = "") -> Json:
    """Return the layout of a chart over time: `span` in seconds, `unit` of the left axis, `second` of the right one."""
    layout: Json = base_layout(height)
    layout["xaxis"] = {
        **_axis(),
        "type": "date",
        "range": [int(span[0] * 1000), int(span[1] * 1000)],
        "showgrid": False,
        "hoverformat": _("%d %b %H:%M:%S"),
        # Plotly's own are English.
        "tickformatstops": [
            {"dtickrange": [None, 59_999], "value": _("%H:%M:%S") + "\n" + _("%d %b")},
            {"dtickrange": [60_000, 86_399_999], "value": _("%H:%M") + "\n" + _("%d %b")},
            {"dtickrange": [86_400_000, None], "value": _("%d %b")},
        ],
    }
    layout["yaxis"] = {**_axis(), "title": _title(unit), "rangemode": "tozero"}
    if second:
        layout["yaxis2"] = {
            **_axis(),
            "title": _title(second),
            "rangemode": "tozero",
            "overlaying": "y",
            "side": "right",
            "tickmode": "auto",
            "showgrid": False,
        }
    layout["hovermode"] = "x unified"
    return layout


def base_layout(height: int) -> Json:
    """Return the layout that all charts share."""
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 8, "b": 28},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": colour("text"), "size": 12},
        "hoverlabel": {
            "bgcolor": colour("panel"),
            "bordercolor": colour("grid"),
            "font": {"color": colour("text"), "size": 12},
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "showlegend": True,
        "dragmode": "zoom",
    }


def label_room(labels: Sequence[str]) -> int:
    """Return the pixels that labels at the ends of bars need beside the axis, however narrow the chart is."""
    return 12 + 7 * max(map(len, labels), default=0)


def _axis() -> Json:
    return {
        "gridcolor": colour("grid"),
        "linecolor": colour("grid"),
        "zeroline": False,
        "tickfont": {"color": colour("quiet"), "size": 11},
        "automargin": True,
    }


def axis(unit: str = "") -> Json:
    """Return an axis of numbers."""
    return {**_axis(), **({"title": _title(unit)} if unit else {})}


def _title(text: str) -> Json:
    return {"text": text, "standoff": 6, "font": {"color": colour("quiet"), "size": 11}}


def line(
    name: str,
    y: Sequence[float | None],
    shade: str,
    *,
    unit: str,
    width: float = 1.6,
    dash: str = "solid",
    second: bool = False,
    digits: int = 1,
) -> Json:
    """Return a line over the chart's times; `second` uses the right axis."""
    trace: Json = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "y": y,
        "line": {"color": colour(shade), "width": width, "dash": dash},
        "hovertemplate": f"%{{y:,.{digits}f}} {unit}",
    }
    if second:
        trace["yaxis"] = "y2"
    return trace
