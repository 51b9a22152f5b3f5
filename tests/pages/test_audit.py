from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from services.core.actor import Actor, Role
from services.core.auditing import Action, AuditOutcome, Target, TargetKind
from tests.pages.conftest import open_page

ANNA, BOB = Actor("anna", Role.USER, person_id=1), Actor("bob", Role.ADMIN, person_id=2)


@pytest.fixture(autouse=True)
def recorded(services: Services) -> None:
    """Some records of two people."""
    record = services.audit.record
    record(ANNA, Action.GRANT_CHANGED, Target(TargetKind.GROUP, 9001, "sales_*a*"), detail="may read")
    record(BOB, Action.SETTINGS_CHANGED, Target(TargetKind.SETTING, "retrieval"), detail="k 9")
    record(ANNA, Action.PERMISSION_REFUSED, outcome=AuditOutcome.REFUSED, detail="Restart")


def shown(app: AppTest) -> list[str]:
    """Return who did what by the table."""
    table = app.dataframe[0].value
    return [f"{who}: {action}" for who, action in zip(table["who"], table["action"], strict=True)]


def text_of(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def test_the_newest_records_are_shown_with_the_state_of_the_chain(app: AppTest, services: Services) -> None:
    """An auditor opens the page and sees at once who did what, and whether to believe it."""
    services.audit.log.sign()
    open_page(app, "audit")
    assert not app.exception
    assert "bob: Settings changed" in shown(app)
    table = app.dataframe[0].value
    assert "sales_*a* (group 9001)" in list(table["target"])
    app.button(key="audit-verify").click().run()
    assert not app.exception
    assert "is whole" in text_of(app)
    assert "last signed" in text_of(app)


def test_filters_are_in_the_address(app: AppTest) -> None:
    """A link that an auditor sends shows the same records to whoever opens it."""
    open_page(app, "audit", who="BOB")
    assert set(shown(app)) == {"bob: Settings changed"}
    app.text_input(key="audit-who").set_value("anna").run()
    app.selectbox(key="audit-outcome").set_value(AuditOutcome.REFUSED).run()
    assert not app.exception
    assert set(shown(app)) == {"anna: Permission refused"}
    assert (app.query_params["who"], app.query_params["outcome"]) == ("anna", "refused")
    app.text_input(key="audit-who").set_value("nobody at all").run()
    assert not app.dataframe
    assert "No matching records" in str([element.proto for element in app.info])


def test_an_address_that_was_mistyped_shows_everything_it_can(app: AppTest) -> None:
    """A link that was cut or edited must not end in an error."""
    open_page(app, "audit", action="no_such,settings_changed", outcome="maybe", before="x")
    assert not app.exception
    assert set(shown(app)) == {"bob: Settings changed"}
    open_page(app, "audit", **{"from": "yesterday", "to": "2026-13-01"})
    assert not app.exception


def test_a_forgery_is_told_in_words(app: AppTest, services: Services) -> None:
    """Nobody reads a log of hashes: the page says what was changed and where."""
    services.audit.log.sign()
    with services.database.write() as connection:
        seq = connection.exec_driver_sql("SELECT min(seq) FROM audit WHERE actor = 'bob'").scalar()
        connection.exec_driver_sql(f"UPDATE audit SET actor = 'mallory' WHERE seq = {seq}")
    try:
        open_page(app, "audit")
        app.button(key="audit-verify").click().run()
        told = str([element.proto for element in app.error]).replace("\\", "")
        assert "not whole" in told
        assert f"Record {seq} does not fit" in told
    finally:
        with services.database.write() as connection:
            connection.exec_driver_sql(f"UPDATE audit SET actor = 'bob' WHERE seq = {seq}")
