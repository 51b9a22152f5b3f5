from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from console.navigation import PageName
from console.ui.budget.decisions import budget_chart
from console.ui.charts.annotations import event_trace
from console.ui.charts.event_links import event_place
from console.ui.charts.figure import MOST_POINTS, Chart
from console.ui.charts.lines import LINE_COLUMNS, LINE_POINTS, TIME_CHARTS, gpu_chart, requests_chart
from console.ui.charts.palette import FAMILY_OWNERS, PALETTE, ColourFamily, owner_colour, owner_name
from console.ui.memory.charts import LEDGER_COLUMNS, LEDGER_POINTS, ledger_chart, owners_chart
from services.core.events import EventKind
from services.core.memory_report import Owner
from services.memory.budget.types import Budget, BudgetLevel, LimitSource, Watermark
from services.memory.ledger.ledger import Ledger
from services.memory.types import COLUMNS, Floats, Series, Window, owner_column
from services.operations.event_log import Event

MB = 2**20
BEGAN = 1_800_000_000.0
SPAN = (BEGAN, BEGAN + 3600)


def window(points: int, values: Mapping[str, float | Floats], *, runs: list[int] | None = None) -> Window:
    """Return a window whose other columns are not known."""
    means = {column: np.full(points, np.nan) for column in COLUMNS}
    means |= {
        str(column): np.broadcast_to(np.asarray(value, float), (points,)).copy() for column, value in values.items()
    }
    times = BEGAN + 10.0 * np.arange(points)
    return Window(times, 10.0, means, means, means, np.array(runs or [1] * points, dtype=np.int64))


def full(points: int) -> Window:
    """Return a window in which everything is known."""
    rising = np.linspace(100 * MB, 200 * MB, points)
    seen = window(points, dict.fromkeys(COLUMNS, rising), runs=[1 + i * 30 // points for i in range(points)])
    return replace(seen, maxima={column: 2 * values for column, values in seen.means.items()})


def series(chart: Chart, name: str) -> list[float | None]:
    return next(list(trace["y"]) for trace in chart.traces if trace["name"] == name)


def test_no_chart_sends_more_than_2000_points() -> None:
    """The densest windows, restarts and events included, stay within what is promised to be sent."""
    events = [Event(BEGAN + i, EventKind.UPLOAD) for i in range(500)]
    charts = [ledger_chart(full(LEDGER_POINTS), events, span=SPAN)]
    charts += [chart for make in TIME_CHARTS if (chart := make(full(LINE_POINTS), span=SPAN))]
    requests = requests_chart(full(LINE_POINTS), per_request=2048.0)
    assert requests is not None
    assert len(charts) == 6
    assert all(chart.points <= MOST_POINTS for chart in [*charts, requests])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("points", [0, 1, 2, 50])
def test_every_chart_is_a_plotly_figure(points: int, dark: bool) -> None:
    """Whatever is known, Plotly's own checks accept each chart in both themes, and its bytes are JSON without NaN."""
    for seen in (full(points) if points else window(0, {}), window(points, {Series.RSS: 5.0 * MB})):
        charts = [ledger_chart(seen, [], span=SPAN), requests_chart(seen)]
        charts += [make(seen, span=SPAN) for make in TIME_CHARTS]
        for chart in charts:
            if chart is not None:
                figure = go.Figure(chart.figure(dark=dark)).to_json()
                assert "$" not in figure
                json.loads(chart.encoded(), parse_constant=pytest.fail)


def test_the_stack_adds_up_to_rss() -> None:
    """Each owner counts in exactly one family, so that the stack's upper edge is the sum of the owners."""
    sizes = {owner_column(owner): float(2**i) * MB for i, owner in enumerate(Owner)}
    chart = ledger_chart(window(3, {**sizes, Series.RSS: sum(sizes.values())}), [], span=SPAN)
    stacked = [trace["y"][1] for trace in chart.traces if "stackgroup" in trace]
    assert sum(stacked) == pytest.approx(2 ** len(Owner) - 1)
    assert sorted(itertools.chain(*FAMILY_OWNERS.values())) == sorted(Owner)


def test_between_runs_nothing_is_drawn() -> None:
    """While the process was away the stack lies at zero and the lines are broken, instead of bridging the gap."""
    seen = window(
        4, {Series.RSS: 9.0 * MB, owner_column(Owner.INDEX): 3.0 * MB, Series.THREADS: 7.0}, runs=[1, 1, 2, 2]
    )
    chart = ledger_chart(seen, [], span=SPAN)
    assert series(chart, "Index") == [3, 3, 0, 0, 3, 3]
    assert series(chart, "RSS") == [9, 9, None, None, 9, 9]
    assert list(chart.times) == sorted(chart.times)
    assert [shape["x0"] for shape in chart.layout["shapes"]] == [int((BEGAN + 20) * 1000)]
    counts = next(made for make in TIME_CHARTS if (made := make(seen, span=SPAN)) and made.name == "counts")
    assert series(counts, "Threads") == [7, None, 7, 7]


def test_counters_become_rates_within_a_run() -> None:
    """Collections since the start are shown per minute; a restart, which sets them to zero, is no negative rate."""
    seen = window(5, {Series.GC_RUNS_2: np.array([0.0, 1.0, 3.0, 0.0, 1.0])}, runs=[1, 1, 1, 2, 2])
    chart = next(made for make in TIME_CHARTS if (made := make(seen, span=SPAN)) and made.name == "gc")
    assert series(chart, "gen2") == [None, 6, 12, None, 6]


def test_a_far_limit_is_shown_and_does_not_flatten_the_curves() -> None:
    """The limit is always there: on the axis when RSS comes near it, else in a strip above, said to be out of scale."""
    near = ledger_chart(window(3, {Series.RSS: 600.0 * MB, Series.LIMIT: 1000.0 * MB}), [], span=SPAN)
    far = ledger_chart(window(3, {Series.RSS: 600.0 * MB, Series.LIMIT: 64000.0 * MB}), [], span=SPAN)
    assert [shape["y0"] for shape in near.layout["shapes"]] == [1000]
    assert near.layout["yaxis"]["range"][1] > 1000
    assert "range" not in far.layout["yaxis"]
    ground, limit = far.layout["shapes"]
    assert far.layout["yaxis"]["domain"][1] < ground["y0"] < limit["y0"] <= 1
    assert limit["yref"] == "paper"
    assert far.layout["annotations"][0]["text"] == "limit 62.50 GB, not to scale"


@pytest.mark.parametrize("rss", [200, 1500])
def test_watermarks_are_shown_however_far_they_are(rss: int) -> None:
    """A chart that is named after the watermarks has each of them as a line with its name, in their order."""
    shares = ((BudgetLevel.SOFT, 0.7), (BudgetLevel.HIGH, 0.85), (BudgetLevel.HARD, 0.95))
    marks = tuple(Watermark(level, share, 0.05, 1.0, 1.0) for level, share in shares)
    budget = Budget(2000 * MB, LimitSource.CONFIGURED, marks)
    chart = budget_chart(window(3, {Series.RSS: rss * 1.0 * MB}), budget, [], span=SPAN)
    lines = [shape["y0"] for shape in chart.layout["shapes"] if shape["type"] == "line"]
    assert lines == sorted(lines)
    assert [note["text"].split(" ")[0] for note in chart.layout["annotations"]] == ["soft", "high", "hard", "limit"]
    go.Figure(chart.figure())


def test_a_click_on_an_event_leads_to_what_it_happened_to() -> None:
    """The marks carry the ids of their events; each kind has a page, one document its name, the rest the time line."""
    events = [Event(BEGAN + i, kind, "a & b.pdf", id=100 + i) for i, kind in enumerate(EventKind)]
    marks = event_trace(events)
    assert marks["meta"] == "events"
    assert marks["customdata"] == [event.id for event in events]
    places = {event.kind: event_place(event) for event in events}
    assert places[EventKind.UPLOAD] == (PageName.DOCUMENTS, {"find": "a & b.pdf"})
    assert places[EventKind.MODEL] == (PageName.SETTINGS, {})
    assert places[EventKind.COLLECTION] == (PageName.COLLECTOR, {"view": "pauses"})
    assert places[EventKind.RESTART] == (PageName.BUDGET, {})
    assert places[EventKind.VERDICT] == (
        PageName.MEMORY,
        {"event": str(100 + list(EventKind).index(EventKind.VERDICT))},
    )
    several = Event(BEGAN, EventKind.UPLOAD, "12 files", {"count": 12.0})
    assert event_place(several) == (PageName.DOCUMENTS, {})


def test_names_in_events_are_text() -> None:
    """A document's name with mark-up in it is shown as it is: Plotly reads HTML and templates in texts."""
    events = [Event(BEGAN, EventKind.UPLOAD, '<a href="javascript:alert(1)">%{y}</a> $text')]
    chart = ledger_chart(window(2, {Series.RSS: 1.0 * MB}), events, span=SPAN)
    marks = next(trace for trace in chart.traces if trace["mode"] == "markers")
    assert "<" not in marks["text"][0]
    assert "%{" not in marks["hovertemplate"].replace("%{text}", "")


def test_owners_are_sorted_and_carry_their_share() -> None:
    """The biggest owner comes first, with megabytes and share of RSS; owners of nothing are left out."""
    ledger = Ledger(BEGAN, 100 * MB, {Owner.PYTHON: 75 * MB, Owner.INDEX: 25 * MB, Owner.MEDIA: 0})
    bars = owners_chart(ledger).traces[0]
    assert bars["y"] == ["Python objects", "Index codes"]
    assert bars["text"] == ["75.0 MB, 75.0 %", "25.0 MB, 25.0 %"]
    assert bars["marker"]["color"] == [owner_colour(Owner.PYTHON), owner_colour(Owner.INDEX)]


def test_growth_per_request_needs_requests() -> None:
    """The chart belongs to the newest run, and is left out while hardly anything was served."""
    served = np.array([500.0, 600.0, 0.0, 1.0, 10.0])
    held = np.array([9.0, 9.0, 1.0, 2.0, 11.0]) * MB
    seen = window(5, {Series.REQUESTS: served, Series.LIVE: held}, runs=[1, 1, 2, 2, 2])
    chart = requests_chart(seen)
    assert chart is not None
    assert chart.traces[0]["x"] == [0, 1, 10]
    assert requests_chart(window(5, {Series.REQUESTS: 3.0, Series.LIVE: 5.0 * MB})) is None


def test_without_a_gpu_there_is_no_chart_of_it() -> None:
    """A machine without a GPU gets no empty chart."""
    assert gpu_chart(window(3, {Series.RSS: 1.0}), span=SPAN) is None


def test_every_owner_has_a_name() -> None:
    """An owner without a word would stand in the tables as an identifier."""
    assert all(owner_name(owner) != owner.value for owner in Owner)


# Machado, Oliveira and Fernandes 2009 (10.1109/TVCG.2009.113), severity 1.
SIGHTS = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(code: str, sight: str) -> Floats:
    """Return a colour in CIELAB as somebody with this sight sees it."""
    red_green_blue = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SIGHTS[sight] @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(np.maximum(xyz / np.array([0.9505, 1.0, 1.089]), 0.00886))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", list(SIGHTS))
@pytest.mark.parametrize("dark", [False, True])
def test_families_can_be_told_apart(sight: str, dark: bool) -> None:
    """Families that lie beside each other in the stack differ for every kind of sight, in both themes."""
    colours = [lab(PALETTE[family][dark], sight) for family in ColourFamily]
    apart = [float(np.linalg.norm(low - high)) for low, high in itertools.pairwise(colours)]
    assert min(apart) > 15, dict(zip(list(ColourFamily)[1:], apart, strict=True))


def test_colours_are_colours() -> None:
    """Each name has a colour for light and for dark."""
    assert all(re.fullmatch("#[0-9a-f]{6}", code) for pair in PALETTE.values() for code in pair)


def test_the_columns_asked_for_exist() -> None:
    """What the charts ask the history for is recorded under that name."""
    assert set(LEDGER_COLUMNS) | set(LINE_COLUMNS) <= set(COLUMNS)
