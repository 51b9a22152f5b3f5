"""What a chart says in words, for those who do not see it: one sentence, and a table of its curves or bars."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from services.core.i18n import _

_Json = dict[str, Any]
_MOST_ROWS = 40
_MAIN_WIDTH = 2  # of the curve that a chart is about, where there is one


def description(traces: Sequence[_Json], layout: _Json) -> _Json:
    """Return the sentence, and the table as its head and rows of texts; both are empty where nothing is drawn."""
    curves = [trace for trace in traces if trace["type"] == "scatter" and "text" not in trace and _known(trace["y"])]
    if curves:
        return _curves(curves, layout, over_time=layout.get("xaxis", {}).get("type") == "date")
    return _parts([part for trace in traces if trace["type"] != "scatter" for part in _parts_of(trace, layout)])


def _curves(curves: Sequence[_Json], layout: _Json, *, over_time: bool) -> _Json:
    rows, said = [], ""
    for trace in curves:
        values = _known(trace["y"])
        unit = _unit(trace, layout)
        newest, lowest, highest = (_number(value, unit) for value in (values[-1], min(values), max(values)))
        rows.append([_plain(trace["name"]), *([newest] if over_time else []), lowest, highest])
        if not said or trace.get("line", {}).get("width") == _MAIN_WIDTH:
            template = _("{curve}: between {lowest} and {highest}.")
            if over_time:
                template = _("{curve}: {newest} at the end, between {lowest} and {highest}.")
            said = template.format(curve=rows[-1][0], newest=newest, lowest=lowest, highest=highest)
    head = [_("Curve"), *([_("Newest")] if over_time else []), _("Lowest"), _("Highest")]
    return {"sentence": said, "head": head, "rows": rows[:_MOST_ROWS]}


def _parts(parts: Sequence[tuple[str, str, float]]) -> _Json:
    if not parts:
        return {"sentence": "", "head": [], "rows": []}
    name, value, _size = max(parts, key=lambda part: abs(part[2]))
    return {
        "sentence": _("Largest: {name}, {value}.").format(name=name, value=value),
        "head": [_("Name"), _("Value")],
        "rows": [[name, value] for name, value, _size in parts[:_MOST_ROWS]],
    }


def _parts_of(trace: _Json, layout: _Json) -> Iterator[tuple[str, str, float]]:
    """Yield the name, the value in words and in figures of each bar or nested part."""
    if trace["type"] == "icicle":  # the first part is all
        for label, said, value in list(zip(trace["labels"], trace["hovertext"], trace["values"], strict=True))[1:]:
            yield _plain(label), _plain(said.partition("<br>")[2].partition("<br>")[0]), float(value)
        return
    lying = trace.get("orientation") == "h"
    axis, names, values = ("yaxis", trace["y"], trace["x"]) if lying else ("xaxis", trace["x"], trace["y"])
    ticks = layout.get(axis, {}).get("ticktext")
    unit = trace.get("meta") or _title(layout, "xaxis" if lying else "yaxis")
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        if value is None:
            continue
        label = ticks[place] if ticks else name if isinstance(name, str) else ""
        words = trace["text"][place] if "text" in trace else _number(value, unit)
        yield _plain(" ".join(part for part in (trace.get("name", ""), label) if part)), _plain(words), float(value)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _unit(trace: _Json, layout: _Json) -> str:
    return _title(layout, trace.get("yaxis", "y").replace("y", "yaxis"))


def _title(layout: _Json, axis: str) -> str:
    return str(layout.get(axis, {}).get("title", {}).get("text", ""))


def _number(value: float, unit: str) -> str:
    digits = 0 if float(value).is_integer() else 1 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def _plain(text: str) -> str:
    """Return a text that Plotly would read as HTML as it is seen."""
    return unescape(re.sub(r"<br>", " ", str(text)))
