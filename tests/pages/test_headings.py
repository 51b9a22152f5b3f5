"""The heading of a page: one, and it names what the page shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from console.navigation import PageName, page_title
from services.app.container import Services
from services.core.actor import SERVICE
from services.core.errors import ConflictError
from services.core.i18n import _, speaking
from services.knowledge.types import Document
from tests.pages.conftest import open_page

Add = Callable[..., Document]


def headings(app: AppTest) -> list[str]:
    return [title.value.replace("\\", "").replace("\u2060", "") for title in app.title]


@pytest.mark.parametrize("name", [name for name in PageName if name is not PageName.CHAT])
def test_a_page_has_one_heading_with_its_name(app: AppTest, name: PageName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a page has none, two, or one in another language than its reader's."""
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.locale", property(lambda _self: "zh-CN"))
    open_page(app, name.value)
    with speaking("zh_CN"):
        assert headings(app) == [page_title(name)]


def test_a_conversation_and_a_document_are_named(app: AppTest, add: Add, services: Services) -> None:
    """Their pages have their own name for a heading, and no other."""
    conversation = services.conversations.create(SERVICE, title="How *deep* is the pond?")
    document = add("mill [1].txt", "The mill is closed.")
    assert headings(open_page(app, "chat", conversation=conversation.id)) == ["How *deep* is the pond?"]
    assert headings(open_page(app, "documents", document=str(document.id))) == ["mill [1].txt"]
    assert headings(open_page(app, "chat")) != []


def test_what_is_not_there_leaves_the_page_its_name(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a document that was deleted, or a failure before the heading, leaves no page without one."""
    assert headings(open_page(app, "documents", document="987654")) == ["Documents"]

    def refuse(*_args: object, **_options: object) -> None:
        raise ConflictError("The disk is on holiday.", "Wait until it is back.")

    monkeypatch.setattr(services.library, "document", refuse)
    assert headings(open_page(app, "documents", document="1")) == ["Documents"]
    assert _("Documents") == "Documents"
