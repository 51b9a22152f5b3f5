"""The collector's pauses as charts: over time, and how many were how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.components.charts.figure import Chart, Json, axis, base_layout, time_layout
from services.memory.sampling.pauses import Pause
from services.texts import _

_HEIGHT = 260
# The colours that the collections have on the memory page.
SHADES = ("fourth", "second", "first")
_SYMBOLS = ("circle", "square", "diamond")


def pauses_chart(recent: Sequence[Pause], span: tuple[float, float]) -> Chart:
    """Return each pause as a point, by generation; `span` in seconds since the epoch.

    Pauses of generation 0 take microseconds, those of generation 2 tens of milliseconds: the axis is logarithmic.
    """
    layout = time_layout(_HEIGHT, _("ms"), span=span)
    layout["yaxis"] = {**layout["yaxis"], "type": "log", "rangemode": "normal", "dtick": 1}
    layout["hovermode"] = "closest"
    traces: list[Json] = []
    for generation, shade in enumerate(SHADES):
        mine = [pause for pause in recent if pause.generation == generation]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"gen{generation}",
                "x": [int(pause.time * 1000) for pause in mine],
                "y": [round(1000 * max(pause.seconds, 1e-6), 4) for pause in mine],
                "customdata": [pause.collected for pause in mine],
                "marker": {"color": f"${shade}", "size": 4 + 2 * generation, "symbol": _SYMBOLS[generation]},
                "hovertemplate": "%{x|%H:%M:%S}: %{y:.3~g} ms, "
                + _("%{customdata:,} objects freed")
                + f"<extra>gen{generation}</extra>",
            }
        )
    return Chart("pauses", _("Pauses over time"), tuple(traces), layout)


def histogram_chart(bounds: Sequence[float], pauses: Mapping[int, tuple[Sequence[int], float]]) -> Chart:
    """Return how many pauses were how long since the start, by generation; `bounds` in seconds."""
    labels = [f"≤ {1000 * bound:g}" for bound in bounds]
    labels.append(f"> {1000 * bounds[-1]:g}")
    counts = [list(pauses[generation][0]) for generation in range(len(SHADES))]
    used = [place for place in range(len(labels)) if any(row[place] for row in counts)]
    first, last = (used[0], used[-1] + 1) if used else (0, len(labels))
    layout = base_layout(_HEIGHT)
    layout["xaxis"] = {**axis(_("pause, ms")), "type": "category", "showgrid": False, "fixedrange": True}
    layout["yaxis"] = {**axis(_("collections")), "type": "log", "fixedrange": True, "dtick": 1}
    layout["barmode"] = "group"
    layout["bargap"] = 0.2
    layout["margin"]["b"] = 44
    traces: tuple[Json, ...] = tuple(
        {
            "type": "bar",
            "name": f"gen{generation}",
            "x": labels[first:last],
            "y": [count or None for count in counts[generation][first:last]],
            "marker": {"color": f"${shade}"},
            "hovertemplate": "%{x} ms: %{y:,}<extra>" + f"gen{generation}</extra>",
        }
        for generation, shade in enumerate(SHADES)
    )
    return Chart("pauses-histogram", _("How many were how long"), traces, layout, subject=f"{first}-{last}")
