from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Watch
from tests.servers import Server, eventually, serving

pytestmark = pytest.mark.browser

LEDGER = "Memory by owner"
USE = "Python and native memory"
PATIENCE = 120_000
# A chart that stands alone has a group, too, and may be the first.
ZOOMED = "() => [...window.millpondCharts.groups.values()].some(group => group.range !== null)"
WHOLE = "() => [...window.millpondCharts.groups.values()].every(group => group.range === null)"


# What of a chart lies on another part of it, or on its neighbour; legends higher than their plots; tools that are seen.
COVERED = """() => [...document.querySelectorAll(".millpond-chart")].flatMap((chart) => {
  const faults = []
  const named = ["head", "legend", "plot"].map((name) => [name, chart.querySelector(`.millpond-chart-${name}`)])
  const boxes = named.map(([name, part]) => [name, part.getBoundingClientRect()]).filter(([, box]) => box.height)
  const frame = chart.getBoundingClientRect()
  boxes.forEach(([name, box], at) => {
    if (box.bottom > frame.bottom + 1 || box.right > frame.right + 1) faults.push(`${name} leaves the chart`)
    if (at && box.top < boxes[at - 1][1].bottom - 1) faults.push(`${boxes[at - 1][0]} lies on ${name}`)
  })
  const [legend, plot] = ["legend", "plot"].map((wanted) => boxes.find(([name]) => name === wanted)?.[1].height ?? 0)
  if (legend > plot) faults.push(`a legend of ${legend} px over a plot of ${plot} px`)
  if (chart.querySelector(".modebar, .legend")) faults.push("Plotly's own")
  const tools = chart.querySelector(".millpond-chart-tools")
  if (!chart.matches(":hover, :focus-within") && Number(getComputedStyle(tools).opacity)) faults.push("tools")
  return faults.map((fault) => `${chart.ariaLabel}: ${fault}`)
})"""


EVENT_PAGES = re.compile(r"/memory\?.*event=\d+|/(documents|collector|settings|budget|overview|allocations)")
NEWEST_EVENT = """(chart) => {
  chart.scrollIntoView({ block: "center" })
  const plot = chart.querySelector(".millpond-chart-plot")
  const { xaxis, yaxis3 } = plot._fullLayout
  const { x, y } = plot._fullData.find((trace) => trace.meta === "events")
  const { left, top } = plot.getBoundingClientRect()
  return [left + xaxis._offset + xaxis.d2p(x.at(-1)), top + yaxis3._offset + yaxis3.d2p(y.at(-1))]
}"""


def chart(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=name)


def updates(page: Page, name: str = LEDGER) -> int:
    return int(chart(page, name).get_attribute("data-updates") or 0)


def wait_for_updates(page: Page, count: int, name: str = LEDGER) -> None:
    """Wait until a chart has been drawn `count` times more."""
    wanted = updates(page, name) + count
    page.wait_for_function(
        "([name, wanted]) => [...document.querySelectorAll('.millpond-chart')].some("
        "chart => chart.ariaLabel === name && Number(chart.dataset.updates) >= wanted)",
        arg=[name, wanted],
        timeout=30_000,
    )


def shown(page: Page, name: str) -> list[str]:
    """Return the stretch of time that a chart shows."""
    found: list[str] = (
        chart(page, name).locator(".millpond-chart-plot").evaluate("chart => chart._fullLayout.xaxis.range.map(String)")
    )
    return found


def zoom(page: Page, name: str) -> None:
    """Zoom into the middle of a chart; a drag during which the chart is drawn anew is lost."""
    for _try in range(5):
        _drag(page, name)
        with suppress(PlaywrightTimeoutError):
            page.wait_for_function(ZOOMED, timeout=PATIENCE / 20)
            return
    raise AssertionError(f"{name} was not zoomed into")


def _drag(page: Page, name: str) -> None:
    area = chart(page, name).locator(".nsewdrag").first
    boxes: list[FloatRect] = []

    def found() -> bool:
        box = None  # while it is being drawn anew
        with suppress(PlaywrightError):
            area.scroll_into_view_if_needed()
            box = area.bounding_box()
        if box is not None:
            boxes.append(box)
        return box is not None

    eventually(found, what="a chart to drag over")
    (box,) = boxes
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle + 2, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.7, middle + 2, steps=4)
    page.mouse.up()


def test_charts_update_in_place_and_keep_their_zoom(page: Page) -> None:
    """A zoom stays while samples come, holds for the neighbours too, and ends with a double click or a new range."""
    page.goto("/memory?range=5m")
    expect(chart(page, LEDGER).locator(".main-svg").first).to_be_visible()
    page.evaluate("document.querySelectorAll('.millpond-chart').forEach(chart => (chart.mine = true))")
    before = shown(page, LEDGER)
    wait_for_updates(page, 1)
    assert shown(page, LEDGER) != before  # time goes on
    page.set_viewport_size({"width": 420, "height": 900})
    wait_for_updates(page, 1)
    more = chart(page, LEDGER).locator(".millpond-chart-more")
    expect(more).to_be_visible()  # a dozen owners do not fit into two lines
    assert page.evaluate(COVERED) == []
    more.click()
    wait_for_updates(page, 1)
    assert page.evaluate(COVERED) == []
    page.set_viewport_size({"width": 1440, "height": 900})
    wait_for_updates(page, 1)
    page.mouse.move(0, 0)
    eventually(lambda: page.evaluate(COVERED) == [], what="charts on which nothing lies")

    zoom(page, LEDGER)
    zoomed = shown(page, LEDGER)
    wait_for_updates(page, 2)
    assert shown(page, LEDGER) == zoomed
    assert [moment[:19] for moment in shown(page, USE)] == [moment[:19] for moment in zoomed]
    same = "() => [...document.querySelectorAll('.millpond-chart')].filter(chart => chart.mine).length"
    assert page.evaluate(same) >= 4  # the elements are the ones from before: nothing was built anew

    said = chart(page, LEDGER).locator(".millpond-chart-zoom")
    expect(said).to_contain_text(re.compile(r"Zoomed: \d\d:\d\d:\d\d to \d\d:\d\d:\d\d"))
    assert [part[11:19] for part in zoomed] == re.findall(r"\d\d:\d\d:\d\d", said.inner_text())
    chart(page, USE).get_by_role("button", name="Show all").click()
    page.wait_for_function(WHOLE)
    expect(said).to_be_hidden()
    wait_for_updates(page, 1)
    assert shown(page, LEDGER) != zoomed

    zoom(page, LEDGER)
    zoomed = shown(page, LEDGER)
    drag = chart(page, LEDGER).locator(".nsewdrag").first
    drag.dblclick()
    page.wait_for_function(WHOLE)
    wait_for_updates(page, 1)
    assert shown(page, LEDGER) != zoomed
    assert shown(page, USE) != zoomed

    zoom(page, USE)
    page.get_by_role("radio", name="1 h").click()
    page.wait_for_function(WHOLE)

    def followed() -> bool:
        with suppress(PlaywrightError):  # while the page is left
            page.mouse.click(*chart(page, LEDGER).evaluate(NEWEST_EVENT))
            page.wait_for_url(EVENT_PAGES, timeout=PATIENCE / 20)
        return EVENT_PAGES.search(page.url) is not None

    eventually(followed, what="the page of the newest event")


def test_the_range_is_in_the_address(page: Page) -> None:
    """A link with a range opens that range; choosing another puts it there; a wrong one falls back."""
    page.goto("/memory?range=24h")
    expect(page.get_by_role("radio", name="24 h")).to_be_checked()
    page.get_by_role("radio", name="14 d").click()
    expect(page).to_have_url(re.compile(r"range=14d"))
    page.reload()
    expect(page.get_by_role("radio", name="14 d")).to_be_checked()
    page.goto("/memory?range=%3Cscript%3E")
    expect(page.get_by_role("radio", name="5 min")).to_be_checked()
    expect(chart(page, LEDGER).locator(".main-svg").first).to_be_visible()


def comes_to_rest(page: Page) -> bool:
    """Return whether four seconds pass without an update; a few tries, for what was on its way."""
    for _attempt in range(4):
        before = updates(page)
        page.wait_for_timeout(4_000)
        if updates(page) == before:
            return True
    return False


def test_paused_and_hidden_pages_rest(page: Page) -> None:
    """Neither a page that was paused nor one that nobody sees asks for more; both go on afterwards."""
    page.goto("/memory?range=5m")
    wait_for_updates(page, 1)
    page.get_by_text("Pause", exact=True).click()
    assert comes_to_rest(page)
    page.get_by_text("Pause", exact=True).click()
    wait_for_updates(page, 1)

    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    assert comes_to_rest(page)
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => false, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_for_updates(page, 1)


def test_a_chart_becomes_a_page_of_its_own(page: Page, browser: Browser, tmp_path: Path) -> None:
    """The saved HTML page shows the chart without any server."""
    page.goto("/memory")
    expect(chart(page, LEDGER).locator(".main-svg").first).to_be_visible()
    chart(page, LEDGER).hover()
    with page.expect_download() as started:
        chart(page, LEDGER).get_by_role("button", name="Save as a self-contained HTML page").click()
    started.value.save_as(tmp_path / "ledger.html")
    context = browser.new_context(offline=True)
    saved = context.new_page()
    foreign: list[str] = []
    saved.on("request", lambda request: foreign.append(request.url) if not request.url.startswith("file:") else None)
    saved.goto((tmp_path / "ledger.html").as_uri())
    expect(saved.locator("#chart .main-svg").first).to_be_visible()
    expect(saved.get_by_text("RSS", exact=True)).to_be_visible()
    assert foreign == []
    context.close()


def test_the_history_is_exported(page: Page) -> None:
    """The export opens what the API offers for the range on the screen."""
    page.goto("/memory?range=24h")
    page.get_by_role("button", name="Export").click()
    link = page.get_by_role("link", name="History as CSV")
    with page.expect_download() as started:
        link.click()
    assert started.value.suggested_filename == "millpond-memory.csv"
    assert started.value.url.endswith("range=24h&download=true&format=csv")


@pytest.fixture
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A console whose clock runs 30 times as fast and that leaks on command."""
    with serving(tmp_path_factory.mktemp("leaky") / "data", module="tests.consoles.leaky") as server:
        yield server


@pytest.mark.timeout(600)  # three minutes of it on a machine that is busy otherwise
def test_a_planted_leak_is_named(leaky: Server, browser: Browser, watch: Watch) -> None:
    """Without a leak none is seen; a leak is named with its kind and its suspect, and a graph shows what holds it."""
    context = browser.new_context(base_url=leaky.url, viewport={"width": 1440, "height": 1000}, locale="en-GB")
    page = context.new_page()
    watch.of(page)
    page.goto("/memory?range=1h")
    headline = page.locator(".st-key-verdict h4")
    # At this speed the ring of samples fills within two minutes, which may be seen as a rise.
    healthy = "Flat since|No leak seen|Up and down since"
    expect(headline).to_contain_text(re.compile(f"Too little data|{healthy}"))
    expect(headline).to_contain_text(re.compile(healthy), timeout=PATIENCE)
    leaky.process.send_signal(signal.SIGUSR1)
    expect(headline).to_contain_text("Leak of Python objects", timeout=PATIENCE)
    suspect = page.locator("[class*=st-key-suspect-]").filter(has_text="Container: tests.consoles.leaky.FORGOTTEN")
    expect(suspect).to_be_visible(timeout=PATIENCE)
    strip = page.locator(".st-key-status-strip")
    expect(strip.get_by_role("link", name=re.compile("Leak of Python objects"))).to_be_visible(timeout=PATIENCE)
    leaky.process.send_signal(signal.SIGUSR2)  # only now: once it stops, the verdict is another one before long

    suspect.get_by_role("link", name="What holds it").click()
    expect(page).to_have_url(re.compile(r"/objects\?container=tests.consoles.leaky.FORGOTTEN"))
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_text("1 container.")).to_be_visible(timeout=PATIENCE)
    graph = page.locator(".stGraphVizChart svg")
    for _try in range(4):  # the table is painted: a click that comes while it is painted anew is lost
        table = page.get_by_test_id("stDataFrame").bounding_box()
        assert table is not None
        page.mouse.click(table["x"] + 15, table["y"] + 52)  # the mark of the first row
        with suppress(PlaywrightTimeoutError):
            graph.wait_for(timeout=PATIENCE / 4)
            break
    expect(graph).to_contain_text("FORGOTTEN", timeout=PATIENCE)
    context.close()


def test_a_page_that_is_left_before_its_charts_come_makes_no_errors(page: Page) -> None:
    """What draws is fetched once; who goes on meanwhile would have an error for each chart in the browser's log."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/assets/chart-*.js", hold)
    with page.expect_request("**/assets/chart-*.js"):
        page.goto("/memory")
    expect(page.get_by_role("heading", level=1)).to_have_text(["Memory"])
    expect(page.locator("[data-testid=stBidiComponentRegular]").nth(5)).to_be_attached()
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(["Audit"])
    for route in held:
        route.continue_()
    page.unroute("**/assets/chart-*.js")
    page.get_by_role("link", name="Memory", exact=True).click()
    expect(chart(page, USE)).to_be_visible()  # drawn by the same script
