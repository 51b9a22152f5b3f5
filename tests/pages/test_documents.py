from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import DocumentsState, Key
from services.app.container import Services
from services.chat.types import Citation, Message, MessageRole
from services.core.actor import SERVICE
from services.core.document_quotes import Quoted
from services.knowledge.types import Document, DocumentStatus
from tests.pages.conftest import ENTRY_POINT, open_page

Add = Callable[..., Document]


def another_tab() -> AppTest:
    return AppTest.from_file(str(ENTRY_POINT), default_timeout=120)


def mail_with(name: str, text: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "A pond"
    message.set_content("See the attachment about the pond.")
    message.add_attachment(text, filename=name)
    return message.as_bytes()


def names(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["name"]) if app.dataframe else []


def is_open(app: AppTest, title: str) -> bool:
    [expander] = [expander for expander in app.expander if expander.label == title]
    return expander.proto.expanded


def test_an_empty_library_says_what_to_do(app: AppTest) -> None:
    """The first thing a person sees is not an empty table."""
    open_page(app, "documents")
    assert [info.value for info in app.info] == ["Drop files above. They stay on this machine."]
    assert is_open(app, "Add documents")


def test_the_drop_zone_makes_way_for_documents(app: AppTest, add: Add) -> None:
    """The table begins near the top; where nothing is, files are dropped without a click."""
    add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents")
    assert not is_open(app, "Add documents")
    app.button(key="collection-new").click().run()
    app.text_input(key="name-field").set_value("Ponds")
    app.button(key="name-save").click().run()
    assert is_open(app, "Add documents")


def test_uploaded_files_are_taken_in_and_let_go(app: AppTest, services: Services) -> None:
    """Dropped files become documents; the uploader is empty again and its bytes are gone."""
    open_page(app, "documents")
    uploader = app.file_uploader[0]
    uploader.upload("mill.txt", b"The seals are inspected every twelve months.")
    uploader.upload("pond.txt", b"The pond is four metres deep.")
    app.run()
    assert services.ingestion.wait_idle(60)
    app.run()
    assert sorted(names(app)) == ["mill.txt", "pond.txt"]
    assert app.session_state[f"millpond.{DocumentsState.__name__}"].uploads == 1
    assert app.file_uploader[0].value == []
    assert services.library.count_documents(SERVICE, statuses=(DocumentStatus.READY,)) == 2


def test_the_same_content_again_is_told(app: AppTest, add: Add, services: Services) -> None:
    """A duplicate is not an error and adds nothing."""
    add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents")
    app.file_uploader[0].upload("copy.txt", b"The seals are inspected every twelve months.")
    app.run()
    assert any("was skipped" in toast.value for toast in app.toast)
    assert services.library.count_documents(SERVICE) == 1


def test_a_file_that_cannot_be_read_says_why(app: AppTest, services: Services) -> None:
    """An empty file is refused or fails with a reason and a hint; the others go on."""
    open_page(app, "documents")
    app.file_uploader[0].upload("broken.pdf", b"%PDF-1.7 this is not a PDF")
    app.file_uploader[0].upload("mill.txt", b"The seals are inspected every twelve months.")
    app.run()
    assert services.ingestion.wait_idle(60)
    app.run()
    [job] = [job for job in services.library.jobs.recent(SERVICE) if job.status is DocumentStatus.FAILED]
    assert job.hint
    assert any(caption.value.replace("\\", "").startswith(job.error[:20]) for caption in app.caption)
    assert not is_open(app, "1 file could not be processed")
    assert services.library.count_documents(SERVICE, statuses=(DocumentStatus.READY,)) == 1
    app.button(key=f"job-remove-{job.id}").click().run()
    assert not [job for job in services.library.jobs.recent(SERVICE) if job.status is DocumentStatus.FAILED]


def test_jobs_in_progress_are_shown_and_cancelled(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queued file has its line with a button that takes it out of the queue."""
    monkeypatch.setattr(services.ingestion, "wake", lambda **_: None)
    intake = services.library.add(SERVICE, io.BytesIO(b"Some words that wait."), "waiting.txt")
    open_page(app, "documents")
    job_id = intake.document.job_id
    assert job_id is not None
    if services.library.document(SERVICE, intake.document.id).status is DocumentStatus.QUEUED:
        assert any(text.value == "waiting.txt" for text in app.text)
        app.button(key=f"job-cancel-{job_id}").click().run()
        assert not services.library.jobs.recent(SERVICE, unfinished_only=True)


def test_filters_narrow_the_table(app: AppTest, add: Add) -> None:
    """Name and status select rows; when none fits, it says so instead of showing an empty library."""
    add("mill.txt", "The seals are inspected every twelve months.")
    add("pond.txt", "The pond is four metres deep.")
    open_page(app, "documents")
    app.text_input(key=Key.DOCUMENT_SEARCH).set_value("pond").run()
    assert names(app) == ["pond.txt"]
    app.text_input(key=Key.DOCUMENT_SEARCH).set_value("zzz").run()
    assert [info.value for info in app.info] == ["Change the filter to see more."]


def test_many_documents_are_paged(app: AppTest, services: Services) -> None:
    """One page of rows is drawn, however many documents there are."""
    for number in range(53):
        services.library.add(SERVICE, io.BytesIO(f"Note number {number}.".encode()), f"note-{number:02}.txt")
    assert services.ingestion.wait_idle(120)
    open_page(app, "documents")
    assert len(names(app)) == 50
    app.get_by_key(f"{Key.DOCUMENT_PAGE}-2-0").set_value(2)
    app.run()
    assert len(names(app)) == 3
    assert app.query_params["page"] == "2"
    app.selectbox(key=Key.DOCUMENT_ORDER).set_value("name").run()
    assert names(app)[0] == "note-00.txt"
    other = open_page(another_tab(), "documents", page="2", order="name")
    assert names(other) == ["note-50.txt", "note-51.txt", "note-52.txt"]


def test_the_table_stays_as_it_was_after_a_visit_to_a_document(app: AppTest, add: Add, services: Services) -> None:
    """Whoever searched, chose a status, an order and a collection would do it again after each document."""
    ponds = services.library.create_collection(SERVICE, "Ponds")
    add("mill.txt", "The seals are inspected every twelve months.")
    add("pond-b.txt", "The pond is four metres deep.", ponds.id)
    document = add("pond-a.txt", "The other pond is two metres deep.", ponds.id)
    add("broken.pdf", b"%PDF-1.7 this is not a PDF", ponds.id)
    open_page(app, "documents")
    app.selectbox[0].set_value(ponds.id).run()
    app.text_input(key=Key.DOCUMENT_SEARCH).set_value("pond ").run()
    app.get_by_key(Key.DOCUMENT_STATUS).set_value("ready").run()
    app.selectbox(key=Key.DOCUMENT_ORDER).set_value("name").run()
    assert names(app) == ["pond-a.txt", "pond-b.txt"]
    app.query_params["document"] = str(document.id)
    app.run()
    assert app.title[0].value == "pond\\-a\\.txt"
    app.button(key="document-back").click().run()
    assert names(app) == ["pond-a.txt", "pond-b.txt"]
    assert app.text_input(key=Key.DOCUMENT_SEARCH).value == "pond"
    assert {name: app.query_params[name] for name in app.query_params} == {
        "collection": str(ponds.id),
        "find": "pond",
        "status": "ready",
        "order": "name",
    }


def test_an_address_shows_what_it_names(app: AppTest, add: Add, services: Services) -> None:
    """After a reload, or from somebody's link; what is not known in it does no harm."""
    ponds = services.library.create_collection(SERVICE, "Ponds")
    add("mill.txt", "The seals are inspected every twelve months.")
    add("pond-b.txt", "The pond is four metres deep.", ponds.id)
    add("pond-a.txt", "The other pond is two metres deep.", ponds.id)
    open_page(app, "documents", collection=str(ponds.id), find="-a")
    assert names(app) == ["pond-a.txt"]
    assert app.selectbox[0].value == ponds.id
    unknown = {"collection": "4711", "status": "?", "order": "?", "page": "99999999999999999999"}
    other = open_page(another_tab(), "documents", find="mill", **unknown)
    assert not other.exception
    assert names(other) == ["mill.txt"]


def test_a_disabled_document_is_seen_to_be_disabled(app: AppTest, add: Add, services: Services) -> None:
    """By a word, and by a grey row: the two switches are hard to tell apart."""
    off = add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents")
    assert "717c7e" not in app.dataframe[0].proto.arrow_data.styler.styles
    add("pond.txt", "The pond is four metres deep.")
    services.library.set_enabled(SERVICE, [off.id], False)
    app.run()
    table = app.dataframe[0]
    assert dict(zip(table.value["name"], table.value["on"], strict=True)) == {
        "mill.txt": ":material/toggle_off: Disabled",
        "pond.txt": ":material/toggle_on: Enabled",
    }
    grey = table.proto.arrow_data.styler.styles
    row = names(app).index("mill.txt")
    assert f"row{row}_col1" in grey
    assert f"row{1 - row}_col1" not in grey


def test_a_move_is_undone(app: AppTest, add: Add, services: Services) -> None:
    """Each document goes back to where it was; attachments that were somewhere else do, too."""
    ponds, mills, target = (services.library.create_collection(SERVICE, name).id for name in ("Ponds", "Mills", "All"))
    mail = add("mail.eml", mail_with("pond.txt", "The pond is four metres deep."), ponds)
    mill = add("mill.txt", "The seals are inspected every twelve months.", mills)
    [attached] = services.library.relatives(SERVICE, mail.id, 5)[0]
    services.library.move(SERVICE, [attached.id], mills)

    def places() -> list[int]:
        return [services.library.document(SERVICE, each.id).collection_id for each in (mail, attached, mill)]

    open_page(app, "documents")
    app.session_state[f"millpond.{DocumentsState.__name__}"].selected = frozenset({mail.id, mill.id})
    app.run()
    app.button(key=f"{Key.MOVE_MENU}-{target}").click().run()
    assert places() == [target, target, target]
    assert any(caption.value.replace("\\", "") == "2 documents moved to All." for caption in app.caption)
    app.button(key=Key.MOVE_UNDO).click().run()
    assert places() == [ponds, mills, mills]
    assert [toast.value.replace("\\", "") for toast in app.toast] == ["2 documents are back in their collections."]
    assert not [button for button in app.button if button.key == Key.MOVE_UNDO]


def test_undoing_is_offered_for_a_while_and_moves_nothing_else(app: AppTest, add: Add, services: Services) -> None:
    """What somebody else has moved on since stays there, and a page that is open all day offers nothing old."""
    ponds, mills = (services.library.create_collection(SERVICE, name).id for name in ("Ponds", "Mills"))
    mill = add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents")
    state = app.session_state[f"millpond.{DocumentsState.__name__}"]
    state.selected = frozenset({mill.id})
    app.run()
    app.button(key=f"{Key.MOVE_MENU}-{ponds}").click().run()
    services.library.move(SERVICE, [mill.id], mills)
    app.button(key=Key.MOVE_UNDO).click().run()
    assert services.library.document(SERVICE, mill.id).collection_id == mills
    state.selected = frozenset({mill.id})
    app.run()
    app.button(key=f"{Key.MOVE_MENU}-{ponds}").click().run()
    assert state.moved is not None
    state.moved = replace(state.moved, until=0.0)
    app.run()
    assert not [button for button in app.button if button.key == Key.MOVE_UNDO]


def test_ticked_documents_are_acted_on_whatever_the_rows_do(app: AppTest, add: Add, services: Services) -> None:
    """Ticks are kept by document, not by row: a new first row does not move them."""
    first = add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents")
    state = app.session_state[f"millpond.{DocumentsState.__name__}"]
    state.selected = frozenset({first.id})
    add("pond.txt", "The pond is four metres deep.")
    app.run()
    app.button(key="bulk-disable").click().run()
    enabled = {document.name: document.enabled for document in services.library.documents(SERVICE)}
    assert enabled == {"mill.txt": False, "pond.txt": True}


def test_a_document_opens_by_its_address(app: AppTest, add: Add) -> None:
    """The view shows chunks with their text inert, and the way back."""
    document = add("<script>x</script>.txt", "Words with <script>alert(1)</script> and *stars*.")
    open_page(app, "documents", document=str(document.id))
    assert not app.exception
    assert [link.url for link in app.link_button] == [f"./api/documents/{document.id}/original"]
    assert "script" in app.title[0].value
    assert any("alert" in element.value for element in app.markdown)
    assert all("<script>" not in element.value.replace("\\<", "") for element in app.markdown)
    app.button(key="document-back").click().run()
    assert "document" not in app.query_params


def test_a_document_that_is_gone_says_so(app: AppTest) -> None:
    """An old link leads to a message, and to the list."""
    open_page(app, "documents", document="4711")
    assert [warning.value for warning in app.warning] == ["It was deleted, or the link is wrong."]


def test_a_document_is_disabled_in_its_view(app: AppTest, add: Add, services: Services) -> None:
    """The switch takes it out of answers and keeps it in the library."""
    document = add("mill.txt", "The seals are inspected every twelve months.")
    open_page(app, "documents", document=str(document.id))
    app.toggle[0].set_value(False).run()
    assert services.library.document(SERVICE, document.id).enabled is False


def test_collections_are_made_and_kept_apart(app: AppTest, add: Add, services: Services) -> None:
    """Choosing a collection narrows the table to its documents."""
    other = services.library.create_collection(SERVICE, "Other 合同")
    add("mill.txt", "The seals are inspected every twelve months.")
    add("pond.txt", "The pond is four metres deep.", other.id)
    open_page(app, "documents")
    assert sorted(names(app)) == ["mill.txt", "pond.txt"]
    app.selectbox[0].set_value(other.id).run()
    assert names(app) == ["pond.txt"]


def test_an_action_that_is_refused_is_told(app: AppTest, add: Add, services: Services) -> None:
    """Re-embedding what is not ready is refused by the library; the page shows why, not nothing."""
    document = add("broken.pdf", b"%PDF-1.7 this is not a PDF")
    open_page(app, "documents")
    app.session_state[f"millpond.{DocumentsState.__name__}"].selected = frozenset({document.id})
    app.run()
    app.button(key="bulk-reembed").click().run()
    assert app.error
    assert not app.exception


def quoted_in_chat(services: Services, document: Document) -> str:
    """Store an answer that quotes the document; return its conversation."""
    name = services.conversations.create(SERVICE, "Valves").id
    citation = Citation(1, 1, document.id, document.name, quote="opens at 17 bar")
    answer = Message(0, name, MessageRole.ASSISTANT, "At 17 bar.", datetime.now(UTC), citations=(citation,))
    services.conversations.replace_from(SERVICE, None, answer)
    return name


def test_a_deletion_says_what_stays_and_erases_it_where_asked(app: AppTest, add: Add, services: Services) -> None:
    """Answers that quote the document outlive it unless the box is ticked."""
    document = add("valve.txt", "The valve opens at 17 bar.")
    conversation = quoted_in_chat(services, document)
    open_page(app, "documents", document=str(document.id))
    app.button(key="document-delete").click().run()
    assert any("1 answer that quotes it in 1 conversation" in text.value for text in app.markdown)
    app.checkbox(key="dialog-choice").check().run()
    app.button(key=Key.CONFIRM).click().run()
    assert not app.exception
    assert services.library.count_documents(SERVICE) == 0
    assert "17 bar" not in services.conversations.messages(SERVICE, conversation)[0].text


def buttons(app: AppTest) -> list[str]:
    return [button.key or "" for button in app.button]


def test_a_deletion_can_be_called_off(app: AppTest, add: Add, services: Services, monkeypatch) -> None:
    """Until it begins the page offers that; the row is marked meanwhile, and afterwards the page tells what went."""
    monkeypatch.setattr(services.library.delayed, "seconds", 600)
    document = add("valve.txt", "The valve opens at 17 bar.")
    for wanted in ("Undo", ""):
        open_page(app, "documents", document=str(document.id))
        app.button(key="document-delete").click().run()
        assert any(caption.value.startswith("For 600 seconds it can be undone") for caption in app.caption)
        app.button(key=Key.CONFIRM).click().run()
        number = next(key for key in buttons(app) if key.startswith("deletion-undo-button-"))
        assert any("1 document will be deleted in" in caption.value for caption in app.caption)
        assert app.dataframe[0].value["on"].tolist() == [":material/delete: Deleting"]
        if wanted:
            app.button(key=number).click().run()
            assert [toast.value.replace("\\", "") for toast in app.toast] == ["Nothing was deleted."]
            assert names(app) == ["valve.txt"]
    services.library.delayed.close()
    app.run()
    app.run()
    assert any("Deleted 1 document" in toast.value for toast in app.toast)
    assert services.library.count_documents(SERVICE) == 0
    assert not app.exception


def test_quotes_of_deleted_documents_can_be_erased_later(app: AppTest, add: Add, services: Services) -> None:
    """Whoever left the box alone finds what is left on the page of documents."""
    conversation = quoted_in_chat(services, document := add("valve.txt", "The valve opens at 17 bar."))
    services.library.delete(SERVICE, [document.id])
    assert services.library.quotes.of_deleted(SERVICE) == Quoted(1, 1)
    open_page(app, "documents")
    app.button(key="deleted-quotes-erase").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert not app.exception
    assert "17 bar" not in services.conversations.messages(SERVICE, conversation)[0].text
    assert services.library.quotes.of_deleted(SERVICE) == Quoted()
