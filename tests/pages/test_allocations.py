from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from console.ui.allocations.charts import flame_chart
from console.ui.session_state import Key
from services.app.container import Services
from services.core.actor import SERVICE
from services.memory import fork_snapshot
from services.memory.tracing.call_tree import build_call_tree
from services.memory.tracing.snapshot_file import pack_traces
from services.memory.tracing.tracer import Tracer
from tests.pages.conftest import open_page


@pytest.fixture
def tracer(services: Services) -> Iterator[Tracer]:
    """The tracer of the pages' services, off and without snapshots before and after."""

    def clean() -> None:
        services.memory.tracer.stop(SERVICE)
        for info in services.memory.tracer.snapshots():
            services.memory.tracer.delete(SERVICE, info.id)

    clean()
    yield services.memory.tracer
    clean()


def headings(app: AppTest) -> list[str]:
    return [element.value for element in app.subheader]


def test_before_anything_was_traced(app: AppTest, tracer: Tracer) -> None:
    """The page says what to do and what it costs, and looking at it switches nothing on."""
    open_page(app, "allocations")
    assert headings(app) == ["Tracing is off"]
    assert len(app.info) == 1
    assert any("times slower" in element.value for element in app.markdown)
    assert not tracemalloc.is_tracing()


def test_a_noticeable_pause_is_said_and_not_made(app: AppTest, tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a fork would stop everything for long, opening the page does not fork; general figures are shown."""
    monkeypatch.setattr(tracer, "_costs", {})
    monkeypatch.setattr(fork_snapshot, "_pauses_per_byte", [1.0])
    open_page(app, "allocations")
    assert any("Tracing is expensive" in element.value for element in app.markdown)
    assert tracer.known_cost(5) is None


def test_on_one_and_two_snapshots(app: AppTest, tracer: Tracer) -> None:
    """Start and snapshots by their buttons; each step has its own face."""
    open_page(app, "allocations")
    app.segmented_control(key=Key.TRACING_FRAMES).set_value(1).run()
    app.button(key=Key.TRACING_START).click().run()
    assert tracer.status().frames == 1
    assert headings(app) == ["Tracing is on"]
    assert len(app.info) == 1
    assert {metric.label for metric in app.metric} >= {"Ends in", "Traced", "Tracing overhead"}
    app.button(key=Key.TRACING_SNAPSHOT).click().run()
    assert headings(app) == ["Tracing is on", "What grew", "Snapshots"]
    assert len(app.info) == 1
    app.button(key=Key.TRACING_SNAPSHOT).click().run()
    assert not app.info
    assert any("Only the line itself was recorded" in caption.value for caption in app.caption)
    app.text_input(key=Key.TRACING_SEARCH).set_value("no such path").run()
    assert len(app.info) == 1
    app.button(key=Key.TRACING_STOP).click().run()
    assert headings(app)[0] == "Tracing is off"
    assert len(tracer.snapshots()) == 2


def links(app: AppTest) -> dict[str, str]:
    """Return the addresses of the page's link buttons by their labels."""
    return {str(link.proto.label): str(link.proto.url) for link in app.get("link_button")}


def test_a_deep_snapshot_has_a_flame_graph_and_profiles(app: AppTest, tracer: Tracer) -> None:
    """Callers that were recorded would be seen one traceback at a time only, and by no other program."""
    tracer.start(SERVICE, 1, 5)
    shallow = tracer.take_snapshot(SERVICE)
    tracer.stop(SERVICE)
    open_page(app, "allocations", old="none", new=shallow.id)
    assert "Which calls hold it" not in headings(app)
    tracer.start(SERVICE, 8, 5)
    held = [bytearray(20_000) for _number in range(10)]
    deep = tracer.take_snapshot(SERVICE)
    tracer.stop(SERVICE)
    open_page(app, "allocations", old="none", new=deep.id)
    assert not app.exception
    assert not app.error
    assert "Which calls hold it" in headings(app)
    for form in ("speedscope", "pprof"):
        assert links(app)[form] == f"./api/tracing/snapshots/{deep.id}/profile?format={form}"
    app.text_input(key=Key.TRACING_SEARCH).set_value("no such path").run()
    assert "Which calls hold it" not in headings(app)
    assert not app.error
    assert len(held) == 10


def test_calls_are_drawn_with_their_bytes() -> None:
    """Plotly would refuse the figure, widths would not be bytes, or a path's mark-up would be run."""
    traces = pack_traces(
        [
            ((("/b.py", 2), ("/<b>a</b>.py", 1)), 3_000_000, 2),
            ((("/c.py", 3), ("/<b>a</b>.py", 1)), 1_000_000, 1),
            *(((("/tiny.py", number), ("/<b>a</b>.py", 1)), 100, 1) for number in range(1, 20)),
        ]
    )
    chart = flame_chart(build_call_tree(traces), "one")
    assert chart.points == 5
    (trace,) = chart.traces
    assert trace["values"] == [4_001_900, 4_001_900, 3_000_000, 1_000_000, 1900]
    assert trace["parents"] == ["", "0", "1", "1", "1"]
    assert trace["labels"] == ["All: 3.8 MB", "b&gt;.py:1", "b.py:2", "c.py:3", "Other"]
    assert "2.9 MB in 2 blocks, 75.0 % of what is shown" in trace["hovertext"][2]
    assert trace["hovertext"][1].startswith("/&lt;b&gt;a&lt;/b&gt;.py:1<br>")
    assert not any("<b>" in text for text in trace["hovertext"])
    for dark in (False, True):
        assert "$" not in go.Figure(chart.figure(dark=dark)).to_json()


def test_different_stretches_and_damage_are_told(app: AppTest, tracer: Tracer) -> None:
    """Comparing what cannot be compared is said; a damaged file is a message, not a broken page."""
    for _stretch in range(2):
        tracer.start(SERVICE, 1, 5)
        tracer.take_snapshot(SERVICE)
        tracer.stop(SERVICE)
    new, old = tracer.snapshots()
    open_page(app, "allocations", old=old.id, new=new.id)
    assert len(app.warning) == 1
    for choice in app.selectbox:
        assert len(set(choice.options)) == len(choice.options), "two snapshots of one second have one name"
    tracer.file(new.id).write_bytes(b"damaged")
    open_page(app, "allocations", old=old.id, new=new.id)
    app.toggle(key=Key.TRACING_OURS).set_value(True).run()
    assert len(app.error) == 1
    open_page(app, "allocations", old="../../etc/passwd", new="nothing")
    assert not app.exception


def test_something_else_traces(app: AppTest, tracer: Tracer) -> None:
    """Tracing that was switched on elsewhere is told, and no button pretends to end it."""
    tracemalloc.start(1)
    try:
        open_page(app, "allocations")
        assert headings(app)[0] == "Tracing is on, but was not started here"
        assert not [button for button in app.button if button.key == Key.TRACING_STOP]
    finally:
        tracemalloc.stop()
