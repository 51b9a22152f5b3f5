"""What an action did, as bars to either side of zero: which owner lost, which gained."""

from __future__ import annotations

from console.components.charts.colours import owner_colour
from console.components.charts.figure import MEGABYTE, Chart, Json, axis, base_layout
from console.components.charts.owners import owner_name
from services.held import Owner
from services.memory.effects import Effect
from services.texts import _

LEAST_BYTES = 64 * 1024  # smaller changes are the two looks' own
_MOST = 8


def changes(effect: Effect) -> list[tuple[Owner, int, int]]:
    """Return the owners that changed with their bytes before and after, the largest change first."""
    owners = {*effect.owners_before, *effect.owners_after}
    found = [(owner, effect.owners_before.get(owner, 0), effect.owners_after.get(owner, 0)) for owner in owners]
    changed = [entry for entry in found if abs(entry[2] - entry[1]) >= LEAST_BYTES]
    return sorted(changed, key=lambda entry: (-abs(entry[2] - entry[1]), entry[0]))[:_MOST]


def effect_chart(effect: Effect) -> Chart | None:
    """Return the owners that changed as bars, None where none did by more than a look itself makes."""
    found = changes(effect)
    if not found:
        return None
    deltas = [(after - before) / MEGABYTE for _owner, before, after in found]
    reach = max(abs(delta) for delta in deltas)
    layout = base_layout(44 + 24 * len(found))
    # Room for the words at the ends of the bars.
    low, high = min(0.0, *deltas), max(0.0, *deltas)
    room = 0.9 * reach
    layout["xaxis"] = {
        **axis(_("MB")),
        "range": [
            round(low - (room if low < 0 else 0.05 * reach), 3),
            round(high + (room if high > 0 else 0.05 * reach), 3),
        ],
        "fixedrange": True,
        "zeroline": True,
        "zerolinecolor": "$quiet",
        "nticks": 6,
    }
    layout["yaxis"] = {**axis(), "autorange": "reversed", "showgrid": False, "fixedrange": True}
    layout["showlegend"] = False
    layout["bargap"] = 0.25
    layout["margin"] = {"l": 8, "r": 8, "t": 4, "b": 28}
    bars: Json = {
        "type": "bar",
        "orientation": "h",
        "x": [round(delta, 3) for delta in deltas],
        "y": [f"{owner_name(owner)}, {_megabytes(before)} → {_megabytes(after)}" for owner, before, after in found],
        "text": [f"{delta:+,.{1 if reach >= 1 else 2}f}".replace("-", "−") for delta in deltas],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y} MB<extra></extra>",
        "marker": {"color": [owner_colour(owner) for owner, _before, _after in found]},
    }
    return Chart("effect", _("Owners that changed"), (bars,), layout, subject=f"{effect.time}")


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.1f}"
