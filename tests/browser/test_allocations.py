from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.controls import choose
from tests.servers import Server, eventually

pytestmark = pytest.mark.browser


def save(page: Page, link: str, file: Path) -> str:
    with page.expect_download() as started:
        page.get_by_role("link", name=link).click()
    started.value.save_as(file)
    return file.read_text(encoding="utf-8")


def switch_on(page: Page, name: str) -> None:
    """Switch something on; a press and its release that an element is drawn anew between are no click."""
    switch = page.get_by_test_id("stCheckbox").filter(has_text=name).locator("input")

    def pressed() -> bool:
        if not switch.is_checked():
            page.get_by_text(name, exact=True).click()
            page.wait_for_timeout(500)
        return switch.is_checked()

    eventually(pressed, what=f"{name} switched on")


def test_a_stretch_of_tracing(page: Page, console: Server, tmp_path: Path) -> None:
    """The cost is said before the click; two snapshots around real work show what grew, by line, export and stop."""
    page.goto("/allocations")
    expect(page.get_by_text("Allocations have not been traced yet")).to_be_visible()
    expect(page.get_by_text("times slower").first).to_be_visible()
    assert console.client.get("/api/tracing").json()["on"] is False
    page.get_by_role("button", name="Start tracing").click()
    expect(page.get_by_text("Tracing is on").first).to_be_visible()
    expect(page.get_by_text("No snapshots yet")).to_be_visible()
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_text("One snapshot shows what is allocated")).to_be_visible()

    document = console.add("traced.txt", b"The miller weighs the grain before it goes to the stones. " * 40)
    assert console.wait_finished(document)["status"] == "ready"
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_role("figure", name="What changed")).to_be_visible()
    switch_on(page, "Millpond's code")
    expect(page.get_by_role("link", name="CSV")).to_have_attribute("href", re.compile("ours=true"))
    expect(page.get_by_text("most recent call last").first).to_be_visible()

    rows = list(csv.DictReader(save(page, "CSV", tmp_path / "rows.csv").splitlines()))
    assert rows.pop()["where"] == "Watching"
    assert rows
    assert all(row["where"].startswith(("services/", "console/", "pages/")) for row in rows)
    assert any(int(row["bytes_diff"]) > 0 for row in rows)
    assert json.loads(save(page, "JSON", tmp_path / "rows.json"))["same_run"]
    profile = json.loads(save(page, "speedscope", tmp_path / "profile.json"))
    assert sum(profile["profiles"][0]["weights"]) == profile["profiles"][0]["endValue"] > 0
    calls = page.get_by_role("figure", name="Which calls hold it")
    expect(calls.locator(".slice").nth(3)).to_be_visible()
    expect(calls).to_contain_text("All: ")

    # The address opens the same comparison elsewhere.
    choose(page, "Older", "None: what the newer one holds")
    expect(page.get_by_role("figure", name="What it holds")).to_be_visible()
    page.wait_for_url("**old=none**")
    page.reload()
    expect(page.get_by_role("figure", name="What it holds")).to_be_visible()

    page.get_by_role("button", name="Stop tracing").click()
    expect(page.get_by_text("Tracing is off. The snapshots are kept.")).to_be_visible()
    expect(page.get_by_role("button", name="Start tracing")).to_be_visible()
    assert console.client.get("/api/tracing").json()["on"] is False
