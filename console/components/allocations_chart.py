"""What grew between two snapshots as bars."""

from __future__ import annotations

from html import escape as html_escape

from console.components.charts.colours import colour
from console.components.charts.figure import Chart, Json, axis, base_layout
from console.components.formatting import signed_size, size
from services.memory.tracing.exporting import said
from services.memory.tracing.types import Comparison, Row
from services.texts import _

MOST_BARS = 12
_LONGEST_LABEL = 34


def changes_chart(comparison: Comparison) -> Chart:
    """Return the rows that changed most as horizontal bars; of a single snapshot, those that hold most."""
    rows = [row for row in comparison.rows if _length(comparison, row)][:MOST_BARS]
    values = [_length(comparison, row) for row in rows]
    unit, divisor = (_("MB"), 2**20) if max(map(abs, values), default=0) >= 2**20 else (_("KB"), 2**10)
    layout = base_layout(56 + 26 * max(1, len(rows)))
    positions = list(range(len(rows)))
    low, high = min([0, *values]) / divisor, max([0, *values]) / divisor
    room = 0.32 * (high - low or 1.0)  # for the words at the end of the bars
    layout["xaxis"] = {
        **axis(unit),
        "range": [low - room if low else 0.0, high + room if high else 0.0],
        "fixedrange": True,
    }
    layout["yaxis"] = {
        **axis(),
        "tickvals": positions,
        "ticktext": [html_escape(_shortened(said(row.place))) for row in rows],
        "range": [len(rows) - 0.4, -0.6],
        "showgrid": False,
        "fixedrange": True,
    }
    layout |= {"showlegend": False, "bargap": 0.25, "dragmode": False, "hovermode": "closest"}
    layout["margin"] = {"l": 8, "r": 8, "t": 8, "b": 28}
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(value / divisor, 3) for value in values],
        "y": positions,
        "text": [signed_size(value) if comparison.old else size(value) for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [_hover(row) for row in rows],
        "hoverinfo": "text",
        "marker": {"color": [colour("accent") if value > 0 else colour("peak") for value in values]},
    }
    name = _("What changed") if comparison.old else _("What it holds")
    return Chart("allocations", name, (bars,), layout)


def _length(comparison: Comparison, row: Row) -> int:
    return row.bytes_diff if comparison.old else row.bytes


def _shortened(text: str) -> str:
    """Return the end of a path, from the beginning of a folder's name where that leaves enough."""
    if len(text) <= _LONGEST_LABEL:
        return text
    end = text[-_LONGEST_LABEL + 1 :]
    return "…" + end[max(0, end.find("/")) :]


def _hover(row: Row) -> str:
    """Return what is said at the pointer; Plotly reads HTML there, so foreign text is escaped."""
    source = html_escape(row.source[:90])
    return "<br>".join(part for part in (html_escape(said(row.place)), source) if part)
