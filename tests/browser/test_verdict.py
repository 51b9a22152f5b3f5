"""What a person does to the memory, as the verdict tells it."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from services.core.events import EventKind
from tests.browser.conftest import Watch
from tests.browser.test_main_path import answered, ask, use_model
from tests.chat.model_server import model_server
from tests.knowledge.parsing.samples import docx, paragraph
from tests.servers import Server, eventually, run, serving

pytestmark = pytest.mark.browser

PATIENCE = 120_000
SPEED = 30
STAND_APART_SECONDS = 240.0  # of the fast clock: what happens within a minute is one step
UPLOADED_BYTES = 100_000_000
LIBRARY = "chat model library loaded"


@pytest.fixture
def fast(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A console whose clock runs thirty times as fast: ten minutes must be seen before anything is said."""
    monkeypatch.setenv("FAST_SPEED", str(SPEED))
    with serving(tmp_path_factory.mktemp("verdict") / "data", module="tests.consoles.fast") as server:
        yield server


def big_document(folder: Path) -> Path:
    """Write a document of little text with a film of 100 MB in it."""
    path = folder / "mill.docx"
    path.write_bytes(docx("".join(paragraph(f"Wheel {n} turns on its axle of ash wood.") for n in range(30))))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("word/media/film.mp4", os.urandom(UPLOADED_BYTES))
    return path


def told(server: Server) -> dict[str, Any]:
    """Return the verdict of the API."""
    return dict(server.client.get("/api/memory").json()["verdict"])


def let_pass(seconds: float, server: Server) -> None:
    """Wait until the server's clock has gone on by so much."""
    began = told(server)["time"]
    eventually(lambda: told(server)["time"] - began >= seconds, seconds=PATIENCE / 1000, what=f"{seconds:g} s later")


def wait_for_names(server: Server, *names: str) -> dict[str, Any]:
    """Wait for a verdict that has all these names, and return it; fails with all that was said instead."""
    said = [""]
    verdict: dict[str, Any] = {}

    def named() -> bool:
        nonlocal verdict
        verdict = told(server)
        if verdict["headline"] != said[-1]:
            said.append(verdict["headline"])
        return all(name in verdict["headline"] for name in names)

    try:
        eventually(named, seconds=2 * PATIENCE / 1000, what=f"a verdict that names {' and '.join(names)}")
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *said])) from error
    return verdict


@pytest.mark.timeout(600)  # half a minute on a machine with nothing else to do
def test_an_upload_and_a_model_are_named_by_the_verdict(
    fast: Server, browser: Browser, watch: Watch, tmp_path: Path
) -> None:
    """The verdict names what 100 MB of upload and the first use of a chat model did; each link can be shared."""
    context = browser.new_context(base_url=fast.url, viewport={"width": 1440, "height": 1000}, locale="en-GB")
    page = context.new_page()
    watch.of(page)
    page.goto("/documents")
    let_pass(STAND_APART_SECONDS, fast)
    page.locator("input[type=file]").set_input_files(big_document(tmp_path))
    expect(page.get_by_role("link", name=re.compile("1 document"))).to_be_visible(timeout=PATIENCE)
    (document,) = fast.client.get("/api/documents").json()["documents"]
    assert fast.wait_finished(document["id"])["status"] == "ready"
    let_pass(STAND_APART_SECONDS, fast)
    with model_server() as model:
        use_model(page, model.openai("good"))
        page.get_by_role("link", name="Chat", exact=True).click()
        ask(page, "What does wheel 7 turn on?")
        answered(page, 1)

    verdict = wait_for_names(fast, LIBRARY, "upload")
    status = partial(run, "status", "--data-dir", str(fast.data_dir))
    eventually(lambda: told(fast)["headline"] in status().stdout, what="the same verdict on the command line")
    page.goto("/memory")
    headline = page.locator(".st-key-verdict h4")
    expect(headline).to_contain_text(LIBRARY, timeout=PATIENCE)
    expect(headline).to_contain_text("upload")
    strip = page.locator(".st-key-status-strip").get_by_role("link", name=re.compile(r"^\S* ?Memory"))
    expect(strip.first).to_be_visible()

    page.locator(".st-key-verdict-steps").get_by_role("link", name=re.compile(LIBRARY)).first.click()
    expect(page).to_have_url(re.compile(r"/memory\?event=\d+"))
    event = page.locator(".st-key-marked")
    expect(event).to_contain_text(f"Library: {LIBRARY}")
    shared = context.new_page()
    shared.goto(page.url)
    expect(shared.locator(".st-key-marked")).to_contain_text(f"Library: {LIBRARY}")
    shared.close()
    page.bring_to_front()
    event.get_by_role("button", name="Close").click(timeout=PATIENCE)
    expect(event).to_have_count(0)

    course = verdict["course"]
    steps = course["steps"] + course["excursions"] + course["earlier_excursions"]
    steps += [course["current"]] if course["current"] else []
    causes = [cause for step in steps for cause in step["causes"]]
    assert {EventKind.UPLOAD, EventKind.LIBRARY} <= {cause["kind"] for cause in causes}
    for cause in causes:
        found = fast.client.get(f"/api/memory/events/{cause['event_id']}").raise_for_status().json()
        assert (found["kind"], found["detail"]) == (cause["kind"], cause["detail"])
    total = course["begin_bytes"] + course["drift_bytes"] + course["change_bytes"]
    total += sum(step["bytes"] for step in course["steps"])
    assert total == pytest.approx(verdict["level_bytes"], abs=1)
    context.close()
