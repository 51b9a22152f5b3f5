"""Charts of the page "Allocations": the rows that changed most, and a flame graph of the calls that hold memory."""

from __future__ import annotations

from html import escape as html_escape

from console.ui.charts.figure import Chart, Json, axis, base_layout, label_room
from console.ui.charts.palette import colour
from console.ui.shared.formatting import SizeUnit, size, size_unit
from services.core.i18n import _, plural
from services.memory.tracing.call_tree import CallNode, CallTree
from services.memory.tracing.source import is_library, is_ours, place_text
from services.memory.tracing.types import ComparisonRow, TraceComparison

MOST_BARS = 12
_LONGEST_LABEL = 34
_LEVEL_HEIGHT = 24  # pixels of a row of calls
_HIGHEST = 560


def changes_chart(comparison: TraceComparison) -> Chart:
    """Return the rows that changed most as horizontal bars; for a single snapshot, the largest ones."""
    rows = [row for row in comparison.rows if _length(comparison, row)][:MOST_BARS]
    values = [_length(comparison, row) for row in rows]
    unit = size_unit(values)
    layout = base_layout(56 + 26 * max(1, len(rows)))
    positions = list(range(len(rows)))
    low, high = min([0, *values]) / unit.bytes, max([0, *values]) / unit.bytes
    labels = [_label(comparison, unit, value) for value in values]
    grown, shrunk = (
        [label for label, value in zip(labels, values, strict=True) if value * sign > 0] for sign in (1, -1)
    )
    layout["xaxis"] = {**axis(unit.name), "range": [low, high if high > low else low + 1.0], "fixedrange": True}
    layout["yaxis"] = {
        **axis(),
        "tickvals": positions,
        "ticktext": [html_escape(_shortened(place_text(row.place))) for row in rows],
        "range": [len(rows) - 0.4, -0.6],
        "showgrid": False,
        "fixedrange": True,
        # Unseen ticks keep the names away from the labels of bars to the left.
        "ticks": "outside",
        "ticklen": label_room(shrunk) if shrunk else 4,
        "tickcolor": "rgba(0,0,0,0)",
    }
    layout |= {"showlegend": False, "bargap": 0.25, "dragmode": False, "hovermode": "closest"}
    layout["margin"] = {"l": 8, "r": label_room(grown), "t": 8, "b": 28}
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(value / unit.bytes, 3) for value in values],
        "y": positions,
        "text": labels,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [_hover(row) for row in rows],
        "hoverinfo": "text",
        "marker": {"color": [colour("accent") if value > 0 else colour("peak") for value in values]},
    }
    name = _("What changed") if comparison.old else _("What it holds")
    return Chart("allocations", name, (bars,), layout)


def _length(comparison: TraceComparison, row: ComparisonRow) -> int:
    return row.bytes_diff if comparison.old else row.bytes


def _label(comparison: TraceComparison, unit: SizeUnit, value: int) -> str:
    sign = "" if comparison.old is None else "+" if value >= 0 else "−"
    return sign + unit.text(abs(value))


def _shortened(text: str) -> str:
    """Return the end of a path, starting at a folder's name where possible."""
    if len(text) <= _LONGEST_LABEL:
        return text
    end = text[-_LONGEST_LABEL + 1 :]
    return "…" + end[max(0, end.find("/")) :]


def _hover(row: ComparisonRow) -> str:
    """Return the hover text; Plotly reads HTML there, so foreign text is escaped."""
    source = html_escape(row.source[:90])
    return "<br>".join(part for part in (html_escape(place_text(row.place)), source) if part)


def flame_chart(tree: CallTree, subject: str) -> Chart:
    """Return calls as an icicle: each as wide as its bytes, below its caller."""
    total = max(1, tree.nodes[0].bytes)
    layout = base_layout(min(_HIGHEST, 48 + _LEVEL_HEIGHT * (tree.levels + 1)))
    layout |= {"showlegend": False, "dragmode": False, "hovermode": "closest"}
    layout["margin"] = {"l": 8, "r": 8, "t": 28, "b": 8}
    layout["uniformtext"] = {"minsize": 10, "mode": "hide"}  # else names shrink until they cannot be read
    numbers = range(len(tree.nodes))
    calls: Json = {
        "type": "icicle",
        "ids": [str(number) for number in numbers],
        "labels": [html_escape(_call_name(number, tree.nodes[number]).rpartition("/")[2]) for number in numbers],
        "parents": ["" if node.parent < 0 else str(node.parent) for node in tree.nodes],
        "values": [node.bytes for node in tree.nodes],
        "branchvalues": "total",
        "sort": True,
        "tiling": {"orientation": "v", "pad": 1},
        "leaf": {"opacity": 1},
        "pathbar": {"visible": True, "thickness": 20},
        "textinfo": "label",
        "textposition": "middle left",
        "hovertext": [_call_words(number, tree.nodes[number], total) for number in numbers],
        "hoverinfo": "text",
        "marker": {"colors": [colour(_shade(node)) for node in tree.nodes], "line": {"width": 0}},
    }
    return Chart("allocations-calls", _("Which calls hold it"), (calls,), layout, subject=subject)


def _call_name(number: int, node: CallNode) -> str:
    if node.place is not None:
        return place_text(node.place)
    return _("All: {size}").format(size=size(node.bytes)) if number == 0 else _("Other")


def _call_words(number: int, node: CallNode, total: int) -> str:
    """Return the hover text; Plotly reads HTML there, so foreign text is escaped."""
    held = plural("{bytes} in {count} block", "{bytes} in {count} blocks", node.blocks, bytes=size(node.bytes))
    lines = [
        _call_name(number, node),
        _("{held}, {share} % of what is shown").format(held=held, share=f"{100 * node.bytes / total:.1f}"),
        node.source[:90],
    ]
    return "<br>".join(html_escape(line) for line in lines if line)


def _shade(node: CallNode) -> str:
    if node.place is None:
        return "grid"
    if is_ours(node.place.file):
        return "accent"
    return "fourth" if is_library(node.place.file) else "peak"
