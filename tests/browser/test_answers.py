from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import CELL, answered, ask, source, upload, use_model
from tests.chat.model_server import model_server
from tests.chat.scripted_server import answer
from tests.servers import Server

pytestmark = pytest.mark.browser

HANDBOOK = """# Turbine handbook

## Yield

The yield of the turbine is $P = \\eta \\rho g Q h$ in watts, and a visit costs $5 for children and $6 for adults.

## Faults

| Code | Meaning |
| --- | --- |
| T01 | Grid jammed, see [the forum](http://evil.example/forum) |
| T02 | Shaft hot ![x](http://evil.example/x.png) |

## Restart

To restart the turbine:

```
turbine --restart  # <b>not bold</b>
```
"""
ANSWER = (
    "The yield is \\( \\eta \\rho g Q h \\) [1], entry $5 and $6 [7]. See [the forum](http://evil.example/forum).\n\n"
    "| Code | Meaning |\n| --- | --- |\n| T01 | jammed |\n\n```python\nprint(x[9])\n```\n\n![x](http://evil.example/x.png)"
)


def nothing_foreign(page: Page) -> None:
    assert page.locator("img[src*='evil'], a[href*='evil']").count() == 0


def test_formulas_tables_code_and_links_in_answers(page: Page, console: Server) -> None:
    """Quoted and written answers show them as such, links with their address; a missing source is marked."""
    page.goto("/documents")
    upload(page, ("turbine.md", "text/markdown", HANDBOOK.encode()))
    expect(page.locator(CELL).filter(has_text="turbine.md")).to_have_count(1)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0, timeout=60_000)
    page.goto("/")
    ask(page, "What is the yield of the turbine?")
    answered(page, 1)
    expect(page.locator("[data-testid=stChatMessage] .katex").first).to_be_visible()
    expect(page.get_by_text("$5 for children and $6 for adults").first).to_be_visible()

    ask(page, "List all faults of the turbine")
    answered(page, 2)
    table = page.locator("[data-testid=stChatMessage] table")
    expect(table.get_by_role("cell", name="T02")).to_be_visible()
    expect(table.get_by_text("the forum (http").first).to_be_visible()
    expect(page.get_by_text("2 entries of")).to_be_visible()

    ask(page, "How do I restart the turbine?")
    answered(page, 3)
    expect(page.locator("[data-testid=stChatMessage] pre").filter(has_text="turbine --restart")).to_be_visible()
    nothing_foreign(page)
    source(page, "turbine").click()
    expect(page.locator(".st-key-source-panel").locator(".katex").first).to_be_visible()
    expect(page.locator(".st-key-source-panel").locator("table").first).to_be_visible()

    with model_server() as model:
        model.script = lambda body: answer(body, ANSWER)
        use_model(page, model.openai("scripted"))
        page.goto("/")
        ask(page, "What is the yield of the turbine?")
        answered(page, 1)
    expect(page.get_by_text("7: no such source")).to_be_visible()
    expect(page.locator("[data-testid=stChatMessage] .katex").first).to_be_visible()
    expect(page.locator("[data-testid=stChatMessage] pre").filter(has_text="print(x[9])")).to_be_visible()
    expect(page.get_by_text("![x](http")).to_be_visible()
    nothing_foreign(page)
