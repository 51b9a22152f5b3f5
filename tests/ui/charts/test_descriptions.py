"""What charts say in words: the figures that somebody who sees them reads off."""

from __future__ import annotations

import json

from console.ui.charts.description import description
from console.ui.charts.figure import axis, base_layout, line, time_layout
from console.ui.memory.charts import owners_chart
from services.core.i18n import speaking
from services.core.memory_report import Owner
from services.memory.ledger.ledger import Ledger
from tests.ui.charts.test_charts import BEGAN, MB, SPAN


def test_curves_over_time_are_told_with_their_newest_value_and_unit() -> None:
    """Gaps count as figures, the second axis's unit is the first one's, or the sentence is about a side issue."""
    layout = time_layout(200, "MB", span=SPAN, second="%")
    traces = [
        line("CPU", [1.0, 40.0, None], "quiet", unit="%", second=True),
        line("RSS", [300.0, 310.25, None, 290.0], "rss", unit="MB", width=2),
        line("Traced", [None, None], "third", unit="MB"),
        {"type": "scatter", "mode": "markers", "name": "Events", "y": [0.97], "text": ["Upload"]},
    ]
    with speaking("en"):
        told = description(traces, layout)
    assert told["sentence"] == "RSS: 290 MB at the end, between 290 MB and 310.2 MB."
    assert told["head"] == ["Curve", "Newest", "Lowest", "Highest"]
    assert told["rows"] == [["CPU", "40 %", "1 %", "40 %"], ["RSS", "290 MB", "290 MB", "310.2 MB"]]


def test_bars_are_told_by_name_as_they_are_labelled() -> None:
    """Names that Plotly reads as HTML would be read aloud as HTML; a bar that is not drawn would be told."""
    layout = base_layout(200)
    layout["xaxis"] = {"ticktext": ["0.5 &lt; ms<br>frozen", "more"]}
    layout["yaxis"] = axis("collections")
    with speaking("en"):
        told = description([{"type": "bar", "name": "gen0", "x": [0, 1], "y": [1200, None]}], layout)
        assert told["rows"] == [["gen0 0.5 < ms frozen", "1,200 collections"]]
        assert told["sentence"] == "Largest: gen0 0.5 < ms frozen, 1,200 collections."
        assert description([], layout)["sentence"] == ""


def test_the_ledger_is_told_to_the_browser_with_its_chart() -> None:
    """The words belong to the chart's data: they change with it, in the reader's language."""
    ledger = Ledger(BEGAN, 120 * MB, {Owner.INDEX: 30 * MB, Owner.PYTHON: 90 * MB})
    with speaking("zh_CN"):
        told = json.loads(owners_chart(ledger).encoded())["description"]
    assert told["sentence"] == "最大：Python 对象，90.0 MB，75.0 %。"
    assert told["head"] == ["名称", "值"]
    assert len(told["rows"]) == 2
