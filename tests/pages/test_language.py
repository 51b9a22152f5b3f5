from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import Key
from services.app.container import Services
from services.core.i18n import _, speaking
from services.core.language_choice import LanguageChoices
from services.core.languages import TRADITIONAL
from tests.pages.conftest import open_page


def headings(app: AppTest) -> list[str]:
    return [heading.value for heading in [*app.title, *app.header, *app.subheader]]


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that asks for Chinese."""
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.locale", property(lambda _self: "zh-CN"))


@pytest.mark.usefixtures("chinese")
def test_a_page_speaks_the_browsers_language(app: AppTest) -> None:
    """Without a choice the browser says which language its reader wants."""
    open_page(app, "settings")
    with speaking("zh_CN"):
        assert _("Chat model") in headings(app)
        assert _("Chat model") != "Chat model"


@pytest.mark.usefixtures("chinese")
def test_a_choice_wins_and_holds_for_the_next_pages(app: AppTest) -> None:
    """Whoever chooses English on a Chinese system reads English from the next run on, and may go back."""
    open_page(app, "settings")
    app.selectbox(key=Key.LANGUAGE).set_value("en").run()
    assert "Chat model" in headings(app)
    open_page(app, "overview")
    assert not any("\u4e00" <= character <= "\u9fff" for heading in headings(app) for character in heading)
    open_page(app, "settings")
    app.selectbox(key=Key.LANGUAGE).set_value("").run()
    assert "Chat model" not in headings(app)


def test_a_persons_choice_is_kept_with_the_account(services: Services) -> None:
    """It holds in every browser, and is forgotten with the choice or the account."""
    choices = LanguageChoices(services.preferences)
    choices.choose(7, TRADITIONAL)
    assert (choices.of(7), choices.of(8)) == (TRADITIONAL, None)
    choices.choose(7, None)
    assert choices.of(7) is None
