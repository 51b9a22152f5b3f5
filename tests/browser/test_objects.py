from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Server, eventually

pytestmark = pytest.mark.browser

PATIENCE = 120_000


def test_from_a_type_to_what_holds_an_object(page: Page, console: Server) -> None:
    """The whole way of a person who hunts a leak: look, compare, pick a type and an object, read who holds it."""
    page.goto("/objects")
    expect(page.get_by_text("No snapshots yet")).to_be_visible()
    expect(page.get_by_text("Making the copy pauses this one for")).to_be_visible()  # the cost is said before the click
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_text("objects counted").or_(page.get_by_text("The process was paused for")).first).to_be_visible(
        timeout=PATIENCE
    )
    first = console.client.get("/api/objects/census").json()["snapshot"]["name"]
    page.get_by_role("button", name="Take a snapshot").click()
    eventually(lambda: len(console.client.get("/api/objects/census").json()["snapshots"]) == 2, what="the second look")

    page.goto(f"/objects?since={first}&type=services.app.startup.Application")
    expect(page.get_by_text("No such object")).to_be_visible(timeout=PATIENCE)  # it was there before
    found = console.client.get("/api/objects/objects", params={"type": "services.app.startup.Application"}).json()
    address = found["objects"][0]["address"]
    page.goto(f"/objects?type=services.app.startup.Application&object={address}")
    expect(
        page.locator(".stGraphVizChart svg").get_by_text("services.app.startup.Application", exact=True)
    ).to_be_visible(timeout=PATIENCE)
    path = page.get_by_test_id("stCode").filter(has_text=re.compile(r"console\..*Application|_application"))
    expect(path.first).to_be_visible()
    expect(page.get_by_text("Reachable from a module")).to_be_visible()
    page.reload()  # the address bar keeps type and object
    expect(page.locator(".stGraphVizChart svg")).to_be_visible(timeout=PATIENCE)

    page.goto("/objects?type=services.app.startup.Application&object=4096")
    expect(page.get_by_text("This object is gone")).to_be_visible(timeout=PATIENCE)


def test_a_series_by_hand_is_marked_and_cancelled(page: Page) -> None:
    """Progress belongs to the server: a person marks each time, reloads in between, and can give up."""
    page.goto("/objects?view=repeat")
    expect(page.get_by_text("No tests yet")).to_be_visible()
    page.get_by_role("combobox", name="Action").click()
    page.get_by_role("option", name="By hand").click()
    page.get_by_role("textbox", name="Name of the action").fill("clicking")
    page.get_by_role("textbox", name="Name of the action").press("Enter")
    page.get_by_role("button", name="Start").click()
    mark = page.get_by_role("button", name="Count a repetition")
    expect(mark).to_be_enabled(timeout=PATIENCE)
    mark.click()
    page.reload()
    expect(page.get_by_text("clicking").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("There is no result.")).to_be_visible(timeout=PATIENCE)
