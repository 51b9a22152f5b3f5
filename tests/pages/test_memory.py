from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.shared.heartbeat import TickCache
from services.app.container import Services
from services.core.memory_report import MemoryReport, Owner
from services.memory.leaks.types import LeakKind, Suspect, SuspectKind, Verdict, VerdictState
from services.memory.ledger.ledger import Ledger
from tests.pages.conftest import open_page
from tests.servers import eventually


@pytest.fixture
def watched(services: Services) -> Services:
    """The services, once something was measured."""

    def measured() -> bool:
        shown = services.memory.snapshot()
        return shown is not None and shown.sample.get("sampler_cpu") is not None and shown.ledger is not None

    eventually(measured, what="the first ledger and two samples")
    return services


def words(app: AppTest) -> str:
    """Return everything that is written on the page, as Markdown shows it."""
    texts = [*app.markdown, *app.caption, *app.info, *app.error]
    return re.sub(r"\\(.)", r"\1", "\n".join(str(element.value) for element in texts))


def charts(app: AppTest) -> list[dict[str, Any]]:
    """Return what the browser gets of each chart on the page."""
    return [json.loads(chart.proto.bytes) for chart in app.get("bidi_component") if chart.proto.bytes]


def test_the_page_shows_verdict_charts_and_ledger(app: AppTest, watched: Services) -> None:
    """The page draws without an error, with its main chart and the ledger, and says that there is no GPU."""
    open_page(app, "memory", range="1h")
    assert not app.exception
    assert not app.error
    written = words(app)
    (ledger,) = (chart for chart in charts(app) if chart["title"] == "Memory by owner")
    # What runs for less than an hour fills its chart, which says since when.
    assert ledger["note"].startswith("Since the start, ")
    begin, end = ledger["layout"]["xaxis"]["range"]
    assert end - begin < 3600_000
    assert begin <= ledger["times"][0] <= begin + 60_000
    assert "Every byte of RSS" in written
    assert "Watching costs" in written
    shown = watched.memory.snapshot()
    if shown is not None and shown.sample.get("gpu_total") is None:
        assert "There is no GPU" in written


def test_each_section_is_one_click_away(app: AppTest, watched: Services) -> None:
    """A link at the top would lead nowhere, in whichever language, or a section would have none."""
    open_page(app, "memory")
    anchors = [element.proto.anchor for element in app.subheader]
    assert anchors == ["verdict", "charts", "ledger", "events", "requests"]
    (links,) = (element.value for element in app.markdown if "](#" in str(element.value))
    assert re.findall(r"\]\(#([a-z]+)\)", links) == anchors[1:]


def test_a_leak_is_worded_with_its_suspects(app: AppTest, watched: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind, growth, evidence and suspects of a verdict are on the page and in the strip; names in it are only text."""
    verdict = Verdict(
        VerdictState.LEAK,
        watched.memory.clock.time(),
        window_seconds=3600.0,
        level_bytes=5e8,
        kind=LeakKind.PYTHON,
        slope_per_hour=30 * 2.0**20,
        interval=(28 * 2.0**20, 32 * 2.0**20),
        evidence=("It rises <b>all</b> the time.",),
        suspects=(Suspect(SuspectKind.CONTAINER, "shop.cart[*].items", "40 more entries", 1e6),),
    )
    monkeypatch.setattr(watched.memory.detector, "_verdict", verdict)
    monkeypatch.setattr(watched.memory.detector, "judge", lambda: verdict)
    open_page(app, "memory")
    written = words(app)
    assert "Leak of Python objects: +30 MB/h (28 to 32)" in written
    assert "Container: shop.cart[*].items" in written
    assert not any("<b>" in str(caption.value) for caption in app.caption)


def test_a_limit_of_the_system_is_told(app: AppTest, watched: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger cannot know here is said in words, and what is held stands in the table."""
    held = MemoryReport("Weights", "of a model", 47 * 2**20, 1, owner=Owner.MODELS)
    ledger = Ledger(watched.memory.clock.time(), 2**29, {Owner.UNNAMED: 2**29}, (held,), ("No maps on this system.",))
    shown = watched.memory.snapshot()
    assert shown is not None
    told = replace(shown, ledger=ledger)
    monkeypatch.setattr(watched.memory, "snapshot", lambda: told)
    open_page(app, "memory")
    assert "No maps on this system." in words(app)
    assert any("Weights" in str(table.value) for table in app.dataframe)


def test_nothing_seen_yet(app: AppTest, watched: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first sample and ledger the page says so instead of failing."""
    monkeypatch.setattr(watched.memory, "snapshot", lambda: None)
    open_page(app, "memory")
    assert not app.error
    titles = [str(info.proto) for info in app.info]
    assert any("No samples yet" in title for title in titles)
    assert any("No ledger yet" in title for title in titles)


def test_a_sampler_that_fell_silent_is_told(app: AppTest, watched: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old figures are not shown as if they were of now."""
    shown = watched.memory.snapshot()
    assert shown is not None
    old = replace(shown, sample=replace(shown.sample, time=shown.time - 600))
    monkeypatch.setattr(watched.memory, "snapshot", lambda: old)
    open_page(app, "memory")
    assert any("Sampling has stopped" in str(error.proto) for error in app.error)


@pytest.mark.parametrize("detail", ["requests", "collections"])
def test_the_other_tables(app: AppTest, watched: Services, detail: str) -> None:
    """Requests with their memory and collections with their pauses are listed."""
    import gc

    gc.collect()
    open_page(app, "memory")
    app.button_group(key="memory-detail").set_value(detail).run()
    assert not app.error
    assert app.dataframe


def test_tabs_share_the_work() -> None:
    """Within a tick a value is built once for all who ask; only a bounded number of values is kept."""
    shared: TickCache[int] = TickCache(most=2)
    built: list[int] = []

    def build() -> int:
        built.append(1)
        return len(built)

    assert {shared.get("a", 1e9, build) for _ in range(5)} == {1}
    shared.get("b", 1e9, build)
    shared.get("c", 1e9, build)
    assert shared.get("a", 1e9, build) == 4  # "a" was the oldest of three
    assert len(shared._entries) == 2
