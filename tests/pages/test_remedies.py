"""From an alert or a refusal to the place where something can be done."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import Notice, Notices
from console.ui.shared.remedy_links import OF_COMPONENT
from services.app.container import Services
from services.chat.types import AnswerState, Message, MessageRole
from services.core.actor import SERVICE
from services.core.admission import Gate
from services.core.i18n import _
from tests.actors import person
from tests.pages.conftest import open_page

SETTINGS = "Check the chat model"
BUDGET = "Decisions of the memory budget"


def links(app: AppTest) -> list[str]:
    return [link.value for link in app.page_link]


def failed_answer(services: Services) -> str:
    """A conversation whose answer failed, as it is read from the database."""
    conversation = services.conversations.create(SERVICE, title="Failed")
    error, hint = _("The chat model broke off the answer."), _("Enter a valid key for it under Settings.")
    answer = Message(
        0,
        conversation.id,
        MessageRole.ASSISTANT,
        "",
        datetime.now(UTC),
        AnswerState.FAILED,
        error=error,
        hint=hint,
    )
    services.conversations.replace_from(SERVICE, None, answer)
    return conversation.id


def test_a_failed_answer_leads_to_the_settings(app: AppTest, services: Services) -> None:
    """Also when it is read again later; one click, not a search for the page that the hint names."""
    app.query_params["conversation"] = failed_answer(services)
    app.run()
    assert not app.exception
    assert SETTINGS in links(app)


def test_who_may_not_open_the_page_is_told_whom_to_ask(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link would lead to a refusal."""
    monkeypatch.setattr("console.ui.shared.remedy_links.page_actor", lambda: person(1, {}))
    app.query_params["conversation"] = failed_answer(services)
    services.admission.close(Gate.QUESTIONS, "test", "Closed for a test.", "")
    try:
        app.run()
    finally:
        services.admission.open(Gate.QUESTIONS, "test")
    assert SETTINGS not in links(app)
    assert BUDGET not in links(app)
    told = {caption.value.replace("\\", "") for caption in app.caption}
    assert "Ask an administrator: this is on the page Settings." in told
    assert "Ask an operator or an administrator: this is on the page Budget." in told


def test_a_refusal_leads_to_the_budget_and_not_to_where_one_is(app: AppTest, services: Services) -> None:
    """On the page itself a link to it would do nothing."""
    services.admission.close(Gate.UPLOADS, "test", "Closed for a test.", "")
    try:
        open_page(app, "documents")
        assert BUDGET in links(app)
        app.session_state["millpond.Notices"] = Notices(
            [Notice("problem", "No", _("Nothing was begun. Try again in a few minutes, or raise the memory limit."))]
        )
        open_page(app, "budget")
        assert BUDGET not in links(app)
    finally:
        services.admission.open(Gate.UPLOADS, "test")


def test_a_refused_upload_leads_on(app: AppTest, services: Services) -> None:
    """What a click left behind as a problem says where its limit is set."""
    app.run()
    app.session_state["millpond.Notices"] = Notices(
        [Notice("problem", "large.txt", _("Split it, or raise the limit (MILLPOND_UPLOAD_LIMIT_MB)."))]
    )
    app.run()
    assert [error.value.replace("\\", "") for error in app.error] == [
        "Split it, or raise the limit (MILLPOND_UPLOAD_LIMIT_MB)."
    ]
    assert "Settings in force" in links(app)


def test_every_part_that_can_fail_has_a_place(services: Services) -> None:
    """Fails if a new health check leads nowhere, without somebody having thought of it."""
    without = {"store", "index", "database"}  # damaged data is nothing that a page can repair
    assert {check.name for check in services.health.ready().checks} - without <= OF_COMPONENT.keys()
