"""The walk: every view of a filled console in both languages, light and dark, at three widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from console.navigation import PageName
from tests.appearance.accessibility import axe_faults
from tests.team import COOKIE, Team

LANGUAGES = {"en": "en-GB", "zh-CN": "zh-CN"}
THEMES = ("light", "dark")
WIDTHS = (1440, 1024, 420)
HEIGHT = 900
_BOXES = Path(__file__).with_name("boxes.js").read_text()
# What the measurement of boxes leaves out: Streamlit's own elements, each with the reason.
_STREAMLITS_BOXES: tuple[str, ...] = ()
_DARKER = """(dark) => {
  const [red, green, blue] = getComputedStyle(document.querySelector("[data-testid=stApp]") ?? document.body)
    .backgroundColor.match(/[\\d.]+/g).map(Number)
  return (red + green + blue < 384) === dark
}"""
_DRAWN = """() => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning" &&
  [...document.querySelectorAll(".millpond-chart")].every((chart) => chart.dataset.updates)"""


@dataclass(frozen=True, slots=True)
class View:
    """A page as it is looked at: its address, with names of `content.fill`, and what is done there first."""

    address: str
    act: Callable[[Page], None] | None = None
    signed_in: bool = True


@dataclass
class Troubles:
    """Errors of a tab's scripts, and what it could not load."""

    found: list[str] = field(default_factory=list)

    def of(self, page: Page) -> None:
        """Watch a tab."""
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("console", lambda line: self.found.append(f"console: {line.text}") if line.type == "error" else None)
        page.on("response", lambda got: self.found.append(f"{got.status}: {got.url}") if got.status >= 400 else None)
        page.on("requestfailed", lambda lost: self._lost(lost.url, lost.failure or ""))

    def taken(self) -> list[str]:
        """Return what was found since the last call."""
        found, self.found = self.found, []
        return found

    def _lost(self, url: str, why: str) -> None:
        if "ERR_ABORTED" not in why:  # by leaving the page
            self.found.append(f"{why}: {url}")


def _search(page: Page) -> None:
    page.locator(".st-key-retrieval-query textarea").fill("notice period of the contract")
    page.locator("[data-testid=stFormSubmitButton] button").first.click()
    expect(page.get_by_text("KV-2041").first).to_be_visible()


def _list_keys(page: Page) -> None:
    page.locator(".st-key-shortcuts-open button").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def _palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.locator("dialog[open] li").first).to_be_visible()


def _share(page: Page) -> None:
    page.locator(".st-key-collection-share button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


# One a page, then its other views. A page that is not here fails the test.
PAGES: Mapping[PageName, View] = {
    PageName.CHAT: View("?conversation={conversation}"),
    PageName.DOCUMENTS: View("documents"),
    PageName.RETRIEVAL: View("retrieval", _search),
    PageName.MEMORY: View("memory"),
    PageName.OBJECTS: View("objects"),
    PageName.ALLOCATIONS: View("allocations"),
    PageName.COLLECTOR: View("collector"),
    PageName.BUDGET: View("budget"),
    PageName.OVERVIEW: View("overview"),
    PageName.NODES: View("nodes"),
    PageName.AUDIT: View("audit"),
    PageName.PEOPLE: View("people"),
    PageName.SETTINGS: View("settings"),
    PageName.ACCOUNT: View("account"),
}
OTHERS = (
    View("sign-in", signed_in=False),
    View("overview", _palette),
    View("documents?document={document}"),
    View("overview", _list_keys),
    View("chat"),
    View("documents?document={broken}"),
    View("documents?collection=1", _share),
    View("memory?range=hour"),
    View("objects?view=containers"),
    View("objects?view=owners"),
    View("objects?view=repeat"),
    View("collector?view=reclaim"),
    View("collector?view=pauses"),
    View("collector?view=experiment"),
    View("people?view=groups"),
    View("people?view=grants"),
)


@contextmanager
def tab(browser: Browser, team: Team, language: str) -> Iterator[tuple[Page, Troubles]]:
    """Open the administrator's tab in a language."""
    context = browser.new_context(
        base_url=team.server.url, viewport={"width": WIDTHS[0], "height": HEIGHT}, locale=LANGUAGES[language]
    )
    context.add_cookies([{"name": COOKIE, "value": team["ada"].session, "url": team.server.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    troubles = Troubles()
    troubles.of(page)
    yield page, troubles
    context.close()


def faults_of(
    page: Page, view: View, content: Mapping[str, str], language: str, looks: Sequence[tuple[str, int]]
) -> list[str]:
    """Open a view and return what is wrong with it, as it looks in each of `looks`: a theme and a width.

    axe looks once a theme.
    """
    theme, width = looks[0]
    _look(page, theme, width)
    cookies = page.context.cookies()
    if not view.signed_in:
        page.context.clear_cookies()
    page.goto("/" + view.address.format(**content))
    page.context.add_cookies(cookies)  # type: ignore[arg-type]  # Playwright gives and takes two types
    expect(page.locator("html")).to_have_attribute("lang", language)
    _settle(page, view)
    if view.act is not None:
        view.act(page)
        _settle(page, view)
    faults, seen = [], set()
    for theme, width in looks:
        _look(page, theme, width)
        page.wait_for_function(_DARKER, arg=theme == "dark")
        found = box_faults(page)
        if theme not in seen:
            seen.add(theme)
            found += axe_faults(page)
        faults += [f"{view.address} {language} {theme} {width}: {fault}" for fault in found]
    return faults


def box_faults(page: Page) -> list[str]:
    """Return what is cut, covered or outside of the window on a page as it is shown now."""
    found: list[str] = page.evaluate(_BOXES, list(_STREAMLITS_BOXES))
    return found


def _look(page: Page, theme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": HEIGHT})


def _settle(page: Page, view: View) -> None:
    if view.signed_in:
        expect(page.locator(".st-key-status-strip")).to_be_visible()
        expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0)
        page.wait_for_function(_DRAWN)
