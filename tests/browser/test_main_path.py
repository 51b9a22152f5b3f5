from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Watch
from tests.browser.samples import CHINESE, ON_PAGE, manual
from tests.chat.model_server import model_server
from tests.servers import Server, eventually, spawn

CELL = "canvas [role=gridcell]"  # the table is painted; its cells are there for assistive technology

pytestmark = pytest.mark.browser


def upload(page: Page, *files: tuple[str, str, bytes]) -> None:
    payloads: list[FilePayload] = [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files]
    page.locator("input[type=file]").set_input_files(payloads)


def ask(page: Page, question: str) -> None:
    field = page.get_by_placeholder("Ask your documents")
    expect(field).to_be_enabled()
    field.fill(question)
    field.press("Enter")


def source(page: Page, name: str) -> Locator:
    """Return the first button of a source whose label fits `name`."""
    return page.locator("[class*=st-key-cite-]").get_by_role("button", name=re.compile(name)).first


def answered(page: Page, answers: int) -> None:
    expect(page.locator("[class*=st-key-foot-]")).to_have_count(answers, timeout=60_000)


def use_model(page: Page, url: str) -> None:
    page.goto("/settings")
    page.get_by_role("radio", name="OpenAI-compatible server").click()
    page.get_by_label("URL").fill(url)
    page.get_by_label("URL").press("Enter")
    page.get_by_label("Model", exact=True).fill("tiny")
    page.get_by_label("Model", exact=True).press("Enter")
    page.get_by_role("button", name="Use this model").click()
    expect(page.get_by_text("Answers now come from")).to_be_visible()


def take_in(page: Page, console: Server) -> dict[str, int]:
    """Upload both files, reload in the middle, wait until they are ready; return their ids by name."""
    page.goto("/documents")
    expect(page.get_by_text("No documents yet")).to_be_visible()
    upload(page, ("manual.pdf", "application/pdf", manual()), ("手册.txt", "text/plain", CHINESE.encode()))
    expect(page.get_by_text("2 files are being processed.")).to_be_visible()
    page.reload()  # progress belongs to the server, not to the tab
    expect(page.get_by_role("link", name=re.compile("2 documents"))).to_be_visible()
    expect(page.locator(".st-key-jobs-running")).to_have_count(0, timeout=120_000)
    documents = console.client.get("/api/documents").json()["documents"]
    assert {document["name"]: document["status"] for document in documents} == {
        "manual.pdf": "ready",
        "手册.txt": "ready",
    }
    return {document["name"]: document["id"] for document in documents}


def ask_in_two_languages(page: Page) -> None:
    """Ask in English, open the source beside it on its page with its words marked, then ask in Chinese meanwhile."""
    page.get_by_role("link", name="Chat", exact=True).click()
    ask(page, "How often are the seals of the sluice gate inspected?")
    answered(page, 1)
    expect(page.get_by_text("every fourteen weeks").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"conversation="))
    source(page, rf"manual\.pdf, p\. {ON_PAGE}").click()
    panel = page.locator(".st-key-source-panel")
    expect(panel.locator(".stMarkdownColoredBackground").filter(has_text="by the keeper").first).to_be_visible()
    expect(panel.get_by_role("img", name=f"Page {ON_PAGE}")).to_be_visible()
    expect(page).to_have_url(re.compile(r"source=\d+\.\d+"))
    ends = page.locator(".st-key-conversation").evaluate("found => found.getBoundingClientRect().right")
    assert ends <= panel.evaluate("found => found.getBoundingClientRect().left")

    ask(page, "石磨的刻槽多久打磨一次？")
    answered(page, 2)
    expect(page.get_by_text("每九十天").first).to_be_visible()
    expect(source(page, "手册")).to_be_visible()
    expect(panel.get_by_role("img", name=f"Page {ON_PAGE}")).to_be_in_viewport()
    page.reload()
    expect(panel.get_by_role("img", name=f"Page {ON_PAGE}")).to_be_visible()
    page.set_viewport_size({"width": 700, "height": 900})
    expect(panel.get_by_role("button", name="Close")).to_be_in_viewport()
    expect(page.get_by_placeholder("Ask your documents")).to_be_in_viewport()
    page.set_viewport_size({"width": 1440, "height": 900})
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
    expect(page).not_to_have_url(re.compile("source="))
    page.go_back()
    expect(panel.get_by_role("img", name=f"Page {ON_PAGE}")).to_be_visible()
    page.go_forward()
    expect(panel).to_have_count(0)


def stop_an_answer(page: Page, conversation: str) -> None:
    """Connect a model that says two words and falls silent; stop it; go back to quoting."""
    with model_server() as model:
        use_model(page, model.openai("midhang"))
        page.goto(conversation)
        ask(page, "Who inspects the seals of the sluice gate?")
        expect(page.get_by_text("are covered")).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped before the end.")).to_be_visible()
        assert model.wait(lambda: model.hung_up > 0)
        answered(page, 3)
    page.goto("/settings")
    page.get_by_role("radio", name="No model: quote the documents").click()
    page.get_by_role("button", name="Use this model").click()
    expect(page.get_by_text("Answers now come from")).to_be_visible()


def delete(page: Page, document_id: int) -> None:
    page.goto(f"/documents?document={document_id}")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("manual.pdf")).to_be_visible()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted 1 document")).to_be_visible()


def test_from_upload_to_deletion(page: Page, console: Server) -> None:
    """A person uploads, reloads, asks in two languages, opens the source, stops an answer, and deletes a document."""
    ids = take_in(page, console)
    ask_in_two_languages(page)
    conversation = page.url
    stop_an_answer(page, conversation)
    delete(page, ids["manual.pdf"])

    page.goto(conversation)
    source(page, "manual").click()
    expect(page.locator(".st-key-source-panel").get_by_text("The document was deleted")).to_be_visible()
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".st-key-source-panel")).to_have_count(0)
    answered(page, 0)  # what is typed goes to the conversation that is shown
    ask(page, "How often are the seals of the sluice gate inspected?")
    answered(page, 1)
    expect(source(page, "manual")).to_have_count(0)
    expect(page.get_by_role("group").get_by_text("fourteen weeks")).to_have_count(0)


def test_two_tabs_see_the_same(page: Page, console: Server) -> None:
    """What one tab uploads, another shows without being touched."""
    other = page.context.new_page()
    other.goto("/documents")
    expect(other.locator("input[type=file]")).to_have_count(1)
    page.goto("/documents")
    upload(page, ("shared.txt", "text/plain", b"Both tabs see the heron by the pond."))
    expect(page.locator(CELL).filter(has_text="shared.txt")).to_have_count(1)
    expect(other.locator(CELL).filter(has_text="shared.txt")).to_have_count(1)


def test_uploaded_bytes_leave_memory(page: Page, console: Server) -> None:
    """Once files are on disk, the process holds no uploaded bytes for any tab."""
    page.goto("/documents")
    upload(page, ("large.txt", "text/plain", b"A long line about water mills.\n" * 100_000))
    eventually(lambda: "large.txt" in ids_by_name(console), what="the document")
    page.goto("/overview")
    expect(page.locator(CELL).filter(has_text="0 files not yet on disk")).to_have_count(1)
    console.client.delete(f"/api/documents/{ids_by_name(console)['large.txt']}")


def test_rows_are_ticked_opened_and_deleted(page: Page, console: Server) -> None:
    """The table's boxes select, its icons open, and deleting what is ticked says what goes and leaves the rest."""
    for name in ("first.txt", "second.txt"):
        console.add(name, f"The {name} of the row test speaks of otters.".encode())
    page.goto("/documents")
    page.get_by_placeholder("Find by name").fill("second")
    expect(page.locator(CELL).filter(has_text="second.txt")).to_have_count(1)
    expect(page.locator(CELL).filter(has_text="first.txt")).to_have_count(0)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0)
    click_first_row(page, 16)
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.locator(".st-key-bulk-delete").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("second.txt")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    click_first_row(page, 50)
    expect(page).to_have_url(re.compile(r"document=\d+"))
    page.get_by_role("button", name="All documents").click()
    expect(page.get_by_placeholder("Find by name")).to_have_value("second")
    expect(page.locator(CELL).filter(has_text="first.txt")).to_have_count(0)
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.locator(".st-key-bulk-delete").get_by_role("button").click()
    expect(dialog.get_by_role("button", name="Delete")).to_have_css("background-color", "rgb(198, 40, 40)")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted 1 document")).to_be_visible()
    names = ids_by_name(console)
    assert "first.txt" in names
    assert "second.txt" not in names


def test_a_search_stays_and_a_move_is_undone(page: Page, console: Server) -> None:
    """The table is the same after a reload and with Back; the menu closes over what was moved; adding is one click."""
    console.client.post("/api/collections", json={"name": "Herons"}).raise_for_status()
    console.add("grebe.txt", b"The grebe of the move test dives.")
    page.goto("/documents")
    drop = page.get_by_text("Drop documents here")
    expect(page.locator(CELL).filter(has_text="grebe.txt")).to_have_count(1)
    expect(drop).not_to_be_visible()
    page.get_by_text("Add documents").click()
    expect(drop).to_be_visible()
    page.get_by_text("Add documents").click()
    search = page.get_by_placeholder("Find by name")
    search.fill("grebe")
    expect(page).to_have_url(re.compile("find=grebe"))
    page.reload()
    expect(search).to_have_value("grebe")
    expect(page.locator(CELL).filter(has_text="first.txt")).to_have_count(0)
    search.fill("heron")
    expect(page).to_have_url(re.compile("find=heron"))
    page.go_back()
    expect(search).to_have_value("grebe")
    expect(page.locator(CELL).filter(has_text="grebe.txt")).to_have_count(1)

    click_first_row(page, 16)
    expect(page.get_by_text("1 selected")).to_be_visible()
    herons = page.get_by_role("button", name="Herons")

    def moved() -> bool:
        """Choose in the menu; it is drawn again as it opens, and a click in that very moment is lost."""
        if not herons.is_visible():
            page.get_by_role("button", name="Move to").click()
        herons.click()
        with suppress(PlaywrightTimeoutError):
            page.get_by_text("1 document moved to Herons.").wait_for(timeout=10_000)
            return True
        return False

    eventually(moved, what="the move")
    expect(page.get_by_role("button", name="Herons")).to_have_count(0)
    expect(page.locator(CELL).filter(has_text="Herons")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("1 document is back in its collection.")).to_be_visible()
    expect(page.locator(CELL).filter(has_text="Herons")).to_have_count(0)


def test_the_start_turns_into_the_page_by_itself(browser: Browser, watch: Watch, tmp_path: Path) -> None:
    """Who opens the console too early sees what is being loaded, and then the page, without a reload."""
    server = spawn(tmp_path / "data")
    try:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        watch.of(page)
        page.goto("/documents")
        expect(page.get_by_text("No documents yet")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("Millpond is starting")).to_have_count(0)
        context.close()
    finally:
        server.stop()


def ids_by_name(console: Server) -> dict[str, int]:
    return {document["name"]: document["id"] for document in console.client.get("/api/documents").json()["documents"]}


def click_first_row(page: Page, x: int) -> None:
    """Click into the table's first row, `x` pixels from its left edge; the header above it is as high as a row."""
    page.locator(".dvn-scroller").first.click(position={"x": x, "y": 46})
