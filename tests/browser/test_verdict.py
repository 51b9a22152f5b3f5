"""What a person does to the memory, as the verdict tells it."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

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
UPLOADED_BYTES = 100_000_000
LIBRARY = "chat model library loaded"


@pytest.fixture
def fast(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A console whose clock runs fifteen times as fast: ten minutes must be seen before anything is said."""
    monkeypatch.setenv("FAST_SPEED", "15")
    with serving(tmp_path_factory.mktemp("verdict") / "data", module="tests.consoles.fast") as server:
        yield server


def big_document(folder: Path) -> Path:
    """Write a document of little text with a film of 100 MB in it."""
    path = folder / "mill.docx"
    path.write_bytes(docx("".join(paragraph(f"Wheel {n} turns on its axle of ash wood.") for n in range(30))))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("word/media/film.mp4", os.urandom(UPLOADED_BYTES))
    return path


def wait_for_names(server: Server, *names: str) -> None:
    """Wait for a verdict that has all these names; fails with all that was said instead."""
    said = [""]

    def named() -> bool:
        headline = server.client.get("/api/memory").json()["verdict"]["headline"]
        if headline != said[-1]:
            said.append(headline)
        return all(name in headline for name in names)

    try:
        eventually(named, seconds=2 * PATIENCE / 1000, what=f"a verdict that names {' and '.join(names)}")
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *said])) from error


@pytest.mark.timeout(600)  # half a minute on a machine with nothing else to do
def test_an_upload_and_a_model_are_named_by_the_verdict(
    fast: Server, browser: Browser, watch: Watch, tmp_path: Path
) -> None:
    """The verdict names what 100 MB of upload and the first use of a chat model did; each link can be shared."""
    context = browser.new_context(base_url=fast.url, viewport={"width": 1440, "height": 1000}, locale="en-GB")
    page = context.new_page()
    watch.of(page)
    page.goto("/documents")
    page.locator("input[type=file]").set_input_files(big_document(tmp_path))
    expect(page.get_by_role("link", name=re.compile("1 document"))).to_be_visible(timeout=PATIENCE)
    (document,) = fast.client.get("/api/documents").json()["documents"]
    assert fast.wait_finished(document["id"])["status"] == "ready"
    with model_server() as model:
        use_model(page, model.openai("good"))
        page.get_by_role("link", name="Chat", exact=True).click()
        ask(page, "What does wheel 7 turn on?")
        answered(page, 1)

    wait_for_names(fast, LIBRARY, "upload")
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

    verdict = fast.client.get("/api/memory").json()["verdict"]
    course = verdict["course"]
    told = course["steps"] + course["excursions"] + course["earlier_excursions"]
    told += [course["current"]] if course["current"] else []
    causes = [cause for step in told for cause in step["causes"]]
    assert {EventKind.UPLOAD, EventKind.LIBRARY} <= {cause["kind"] for cause in causes}
    for cause in causes:
        found = fast.client.get(f"/api/memory/events/{cause['event_id']}").raise_for_status().json()
        assert (found["kind"], found["detail"]) == (cause["kind"], cause["detail"])
    total = course["begin_bytes"] + course["drift_bytes"] + course["change_bytes"]
    total += sum(step["bytes"] for step in course["steps"])
    assert total == pytest.approx(verdict["level_bytes"], abs=1)
    assert LIBRARY in run("status", "--data-dir", str(fast.data_dir)).stdout
    context.close()
