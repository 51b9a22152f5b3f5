"""Shortcuts and the palette: what somebody is offered is what they may open."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from console.navigation import PageName, may_open
from console.ui.keyboard import keyboard
from console.ui.keyboard.keyboard import Sent, TabRequests, act
from console.ui.keyboard.palette import found_entries, standing_entries
from console.ui.keyboard.shortcuts import FIELDS, shortcuts
from console.ui.session_state import Key
from services.app.container import Services
from services.chat.types import Message, MessageRole
from services.core.actor import SERVICE, Role
from services.knowledge.types import Document
from tests.actors import person, reader_of
from tests.pages.conftest import open_page

Add = Callable[..., Document]


def test_no_shortcut_hides_another() -> None:
    """Fails if two are alike, or one is the beginning of another, which would never be reached."""
    keys = [shortcut.keys for shortcut in shortcuts(person(1, {}, Role.ADMIN))]
    assert len(keys) > 10
    for one, other in itertools.permutations(keys, 2):
        assert one != other[: len(one)]


def test_pages_are_offered_to_those_who_may_open_them() -> None:
    """A user is told of no page that would refuse them, by a shortcut or in the palette."""
    for role in Role:
        actor = person(1, {}, role)
        allowed = {f"page:{name}" for name in PageName if may_open(actor, name)}
        assert {each.action for each in shortcuts(actor) if each.action.startswith("page:")} == allowed
        assert {each["action"] for each in standing_entries(actor) if each["action"].startswith("page:")} == allowed
    assert "page:people" not in {each.action for each in shortcuts(person(1, {}))}


def test_a_page_that_one_may_not_open_is_not_gone_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser's word is not taken: it could have been made up."""
    gone: list[object] = []
    monkeypatch.setattr("streamlit.switch_page", lambda *where, **_options: gone.append(where))
    act(person(1, {}), "page:people")
    act(person(1, {}), "page:no such page")
    act(person(1, {}), "nothing")
    assert gone == []


def test_a_late_request_for_the_page_that_was_left_does_not_undo_a_shortcut(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table tells its choice later, for the page that the browser still shows; afterwards one may go back."""
    open_page(app, "objects")
    monkeypatch.setattr(keyboard, "_ON_ITS_WAY", 1e9)
    sent = Sent(PageName.COLLECTOR, None, PageName.OBJECTS, time.monotonic())
    app.session_state[f"millpond.{TabRequests.__name__}"] = TabRequests(sent=sent)
    app.run()
    assert not app.exception
    assert [each.value for each in app.title] == ["Garbage collection"]
    monkeypatch.setattr(keyboard, "_ON_ITS_WAY", 0.0)
    app.switch_page("../pages/objects.py")
    app.run()
    assert [each.value for each in app.title] == ["Objects"]
    assert app.session_state[f"millpond.{TabRequests.__name__}"].sent is None


def test_the_palette_finds_what_one_may_read(services: Services, add: Add) -> None:
    """Documents of collections that somebody may not read, and others' conversations, do not exist for them."""
    hidden = services.library.create_collection(SERVICE, "Hidden")
    shown = services.library.create_collection(SERVICE, "Shown")
    add("pond plan.txt", "The pond is deep.", shown.id)
    add("pond secret.txt", "The pond is deeper.", hidden.id)
    services.conversations.create(SERVICE, title="About the pond")
    found = found_entries(services, SERVICE, "pond")
    assert sorted(each["label"] for each in found) == ["About the pond", "pond plan.txt", "pond secret.txt"]
    assert [each["label"] for each in found_entries(services, reader_of(shown.id), "pond")] == ["pond plan.txt"]
    assert found_entries(services, SERVICE, "otter") == []


def test_the_palette_finds_a_title_behind_newer_talk_of_it(services: Services) -> None:
    """Fails if it looks through the newest conversations that speak of it, and the one of that name is none of them."""
    services.conversations.create(SERVICE, title="About the pond")
    for number in range(41):
        conversation = services.conversations.create(SERVICE, title=f"Talk {number}")
        question = Message(0, conversation.id, MessageRole.USER, "Is the pond deep?", datetime.now(UTC))
        services.conversations.add_question(SERVICE, question)
    assert [each["label"] for each in found_entries(services, SERVICE, "the pond")] == ["About the pond"]


def test_the_list_names_the_shortcuts(app: AppTest) -> None:
    """Whoever does not know "?" finds the list by its button."""
    open_page(app, "documents")
    app.button(key=Key.SHORTCUTS).click().run()
    assert not app.exception
    said = [element.value for element in app.markdown]
    assert {"`?`", "`g` `d`", "`Ctrl+K`", "`Esc`"} <= set(said)


@pytest.mark.parametrize("name", [PageName.CHAT, PageName.DOCUMENTS, PageName.RETRIEVAL])
def test_pages_for_work_have_a_field_for_the_slash(app: AppTest, add: Add, name: PageName) -> None:
    """Fails if a field gets another key: "/" would lead nowhere."""
    add("mill.txt", "The mill is closed.")
    open_page(app, name.value)
    keys = {field.key for field in [*app.chat_input, *app.text_input, *app.text_area]}
    assert keys & set(FIELDS)
