"""Every page once: nothing is cut or covered, axe finds nothing grave, nothing fails in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, product

import pytest
from playwright.sync_api import Browser

from console.navigation import PageName
from tests.appearance.accessibility import axe_faults
from tests.appearance.content import fill
from tests.appearance.walk import LANGUAGES, OTHERS, PAGES, THEMES, WIDTHS, box_faults, faults_of, tab
from tests.team import Team, serving_team

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
# The sign-in page, the palette; `make appearance` looks at all the others, in every language, theme and width.
_BESIDES = OTHERS[:2]
# A page with a fault of each kind: eyes that see nothing would pass all others.
_FAULTY = """<html lang="en"><title>Faults</title><main>
<div style="overflow: hidden; width: 60px; white-space: nowrap"><span>This text is longer than its box</span></div>
<button style="position: absolute; top: 200px; left: 10px; width: 90px; height: 30px">Under</button>
<button style="position: absolute; top: 200px; left: 20px; width: 90px; height: 30px">Over</button>
<div style="position: absolute; top: 300px; width: 3000px">Wide</div>
<input style="position: absolute; top: 400px"><p style="color: #999">Faint</p></main>"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A house with accounts."""
    with serving_team(tmp_path_factory.mktemp("appearance") / "data", memory_limit_mb=4000) as team:
        yield team


def test_pages_cut_and_cover_nothing_and_can_be_read_by_everybody(browser: Browser, team: Team) -> None:
    """Text without contrast, a field without a name, a button under another one, a page wider than the window."""
    assert set(PAGES) == set(PageName)
    content = fill(team)
    ways = cycle(product(THEMES, WIDTHS))
    views = (*PAGES.values(), *_BESIDES)
    faults: list[str] = []
    for place, language in enumerate(LANGUAGES):
        with tab(browser, team, language) as (page, troubles):
            for view in views[place :: len(LANGUAGES)]:
                faults += faults_of(page, view, content, language, [next(ways)])
                faults += [f"{view.address}: {trouble}" for trouble in troubles.taken()]
    with browser.new_context(viewport={"width": 1024, "height": 900}) as context:
        page = context.new_page()
        page.set_content(_FAULTY)
        seen = {fault.split(":")[0] for fault in box_faults(page) + axe_faults(page)}
    assert seen >= {"cut", "covered", "overlap", "outside", "scrolls sideways", "label", "color-contrast"}
    assert faults == [], "\n" + "\n".join(faults)
