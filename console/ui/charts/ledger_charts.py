"""Charts of the ledger: stacked over time, and the newest as bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from console.ui.charts.annotations import MOST_EVENTS, add_limit, event_axis, event_trace, restart_shapes, restarts
from console.ui.charts.figure import (
    MOST_POINTS,
    Chart,
    Json,
    axis,
    base_layout,
    known,
    line,
    moments,
    numbers,
    time_layout,
)
from console.ui.charts.palette import FAMILY_OWNERS, ColourFamily, colour, family_name, owner_colour, owner_name
from services.core.i18n import _
from services.core.memory_report import Owner
from services.core.units import MEGABYTE
from services.memory.ledger.ledger import Ledger
from services.memory.types import Floats, Series, Window, owner_column
from services.operations.event_log import Event

# Ten families, RSS and its peaks are twelve curves; the other points are event markers and the two ends of each gap at
# a restart, the newest ones.
LEDGER_POINTS = 140
_MOST_GAPS = ((MOST_POINTS - MOST_EVENTS) // 12 - LEDGER_POINTS) // 2
LEDGER_COLUMNS: tuple[str, ...] = (Series.RSS, Series.LIMIT, *(owner_column(owner) for owner in Owner))
_LIMIT_IN_SIGHT = 0.4  # of the limit: below, drawing it would flatten the curves


def ledger_chart(
    window: Window, events: Sequence[Event], *, span: tuple[float, float], zoom: str = "", height: int = 380
) -> Chart:
    """Return RSS by family over time, with RSS itself, limit, restarts and events."""
    window, away = _with_ends(window)
    layout = time_layout(height, _("MB"), span=span)
    layout["yaxis3"] = event_axis()
    layout["shapes"] = restart_shapes(window)
    traces = [_area(window, family, away) for family in ColourFamily if _present(window, family)]
    rss = window.means[Series.RSS]
    traces.append(line(_("RSS"), _away(numbers(rss, per=MEGABYTE), away), "rss", unit=_("MB"), width=2))
    peaks = window.maxima[Series.RSS]
    if known(peaks) and np.nanmax(peaks - rss) > MEGABYTE:
        traces.append(
            line(_("RSS, peak"), _away(numbers(peaks, per=MEGABYTE), away), "peak", unit=_("MB"), width=1, dash="dot")
        )
    if events:
        traces.append(event_trace(events))
    _add_limit(layout, window)
    return Chart("ledger", _("Memory by owner"), tuple(traces), layout, moments(window.times), zoom)


def _present(window: Window, family: ColourFamily) -> bool:
    return any(known(window.means.get(owner_column(owner))) for owner in FAMILY_OWNERS[family])


def _sum(window: Window, family: ColourFamily) -> Floats:
    columns = [
        window.means[owner_column(owner)] for owner in FAMILY_OWNERS[family] if owner_column(owner) in window.means
    ]
    stacked = np.vstack(columns)
    total: Floats = np.nansum(stacked, axis=0)
    total[np.isnan(stacked).all(axis=0)] = np.nan
    return total


def _area(window: Window, family: ColourFamily, away: frozenset[int]) -> Json:
    values = numbers(_sum(window, family), per=MEGABYTE, digits=1)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": family_name(family),
        "y": [0.0 if i in away else value for i, value in enumerate(values)],
        "stackgroup": "owners",
        "fillcolor": colour(family),
        "line": {"color": colour("background"), "width": 0.6},
        "hovertemplate": "%{y:,.1f} " + _("MB"),
        "legendgroup": family.value,
    }


def _away(values: list[float | None], away: frozenset[int]) -> list[float | None]:
    return [None if i in away else value for i, value in enumerate(values)]


def _with_ends(window: Window) -> tuple[Window, frozenset[int]]:
    """Return the window with a point at both ends of each restart's gap, and the indices of these points.

    Stacked areas cannot have gaps: at these points they fall to zero and rise again, as the process did.
    """
    gaps = restarts(window)[-_MOST_GAPS:]
    if not gaps:
        return window, frozenset()
    times: list[float] = []
    rows: list[int] = []
    away: set[int] = set()
    ends = {float(before): after for before, after in gaps}
    for row, time in enumerate(window.times.tolist()):
        times.append(time)
        rows.append(row)
        if time in ends:
            for end in (time + 0.001, ends[time] - 0.001):
                away.add(len(times))
                times.append(end)
                rows.append(row)
    index = np.array(rows, dtype=np.intp)
    return (
        Window(
            np.array(times, dtype=np.float64),
            window.step_seconds,
            {column: values[index] for column, values in window.means.items()},
            {column: values[index] for column, values in window.minima.items()},
            {column: values[index] for column, values in window.maxima.items()},
            window.runs[index],
        ),
        frozenset(away),
    )


def _add_limit(layout: Json, window: Window) -> None:
    limits = window.means.get(Series.LIMIT)
    peaks = window.maxima[Series.RSS]
    if limits is None or not known(limits) or not known(peaks):
        return
    limit = float(limits[np.isfinite(limits)][-1])
    top = float(np.nanmax(peaks))
    if top >= _LIMIT_IN_SIGHT * limit:
        add_limit(layout, limit / MEGABYTE, _("limit"))
        layout["yaxis"]["range"] = [0, round(max(limit, top) / MEGABYTE * 1.05, 1)]


def owners_chart(ledger: Ledger, *, height: int = 0) -> Chart:
    """Return the owners of one ledger as bars, largest first, with MB and their share of RSS."""
    found = sorted(((size, owner) for owner, size in ledger.owners.items() if size > 0), reverse=True)
    layout = base_layout(height or 48 + 24 * max(1, len(found)))
    biggest = found[0][0] / MEGABYTE if found else 1.0
    # Room for the label at the end of the longest bar.
    layout["xaxis"] = {**axis(_("MB")), "range": [0, round(1.45 * biggest, 1)], "fixedrange": True}
    layout["yaxis"] = {**axis(), "autorange": "reversed", "showgrid": False, "fixedrange": True}
    layout["showlegend"] = False
    layout["bargap"] = 0.25
    layout["margin"] = {"l": 8, "r": 8, "t": 8, "b": 28}
    total = max(1, ledger.rss)
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(size / MEGABYTE, 2) for size, _owner in found],
        "y": [owner_name(owner) for _size, owner in found],
        "text": [
            _("{size} MB, {share} %").format(size=f"{size / MEGABYTE:,.1f}", share=f"{100 * size / total:.1f}")
            for size, _owner in found
        ],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "marker": {"color": [owner_colour(owner) for _size, owner in found]},
    }
    return Chart("owners", _("The ledger now"), (bars,), layout)
