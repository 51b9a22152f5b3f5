"""What axe finds on a page that is serious or worse, but for what is Streamlit's own."""

from __future__ import annotations

from dataclasses import dataclass

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = frozenset({"serious", "critical"})
_AXE = Axe()


@dataclass(frozen=True, slots=True)
class Excepted:
    """A rule that Streamlit's own elements break, where, and why it cannot be mended from here."""

    rule: str
    selector: str
    reason: str


_MATCHES = "([element, selectors]) => selectors.some((each) => document.querySelector(element)?.matches(each))"
_MENU = "Streamlit puts the pages of a group into a box of their own within the menu's list"
STREAMLITS: tuple[Excepted, ...] = (
    Excepted("list", "[data-testid=stSidebarNavItems]", _MENU),
    Excepted("listitem", "[data-testid=stSidebarNavItems] li", _MENU),
)


def axe_faults(page: Page) -> list[str]:
    """Return what axe finds on the page as it is now, a line each: rule, element, why."""
    found = _AXE.run(page).response["violations"]
    faults = []
    for violation in found:
        if violation["impact"] not in GRAVE:
            continue
        for node in violation["nodes"]:
            target = " ".join(part if isinstance(part, str) else " >> ".join(part) for part in node["target"])
            if not _excepted(page, violation["id"], node["target"]):
                why = "; ".join(each["message"] for each in node["any"] + node["all"] + node["none"])
                faults.append(f"{violation['id']}: {target}: {why}: {node['html'][:200]}")
    return faults


def _excepted(page: Page, rule: str, target: list[str | list[str]]) -> bool:
    if len(target) != 1 or not isinstance(target[0], str):
        return False  # within a frame or a shadow root: ours
    return any(
        page.evaluate(
            "([one, many]) => document.querySelector(one)?.matches(many) ?? false", [target[0], each.selector]
        )
        for each in STREAMLITS
        if each.rule == rule
    )
