from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from console.navigation import PageName
from services.app.container import Services
from services.app.startup import Application, Starting
from services.core.errors import ConflictError
from services.core.settings import Settings
from tests.pages.conftest import ENTRY_POINT, open_page


@pytest.fixture
def not_ready(monkeypatch: pytest.MonkeyPatch) -> Application:
    """An application whose services are still starting."""
    starting = Application(Settings())
    starting._state = Starting("loading the embedding model")
    monkeypatch.setattr("console.ui.runtime_access.application", lambda: starting)
    return starting


@pytest.mark.parametrize("name", list(PageName))
def test_every_page_runs(app: AppTest, name: PageName) -> None:
    """Each page of the menu draws itself on an empty library, under the status strip."""
    open_page(app, name.value)
    assert not app.exception
    assert not app.error
    links = [link.value for link in app.page_link]
    assert any(label.startswith("RSS ") for label in links)
    assert "0 documents, 0 chunks" in links
    assert "No chat model" in links


def test_the_start_has_a_face(not_ready: Application) -> None:
    """Before all is loaded the stage is shown, and no page touches services that are not there."""
    app = AppTest.from_file(str(ENTRY_POINT), default_timeout=30).run()
    assert not app.exception
    assert any("loading the embedding model" in element.value for element in app.markdown)


def test_a_failed_start_says_why(not_ready: Application) -> None:
    """What stopped the start is told with what to do."""
    not_ready.fail(ConflictError("Another Millpond uses this data folder.", "Open http://127.0.0.1:8501."))
    app = AppTest.from_file(str(ENTRY_POINT), default_timeout=30).run()
    assert [error.value.replace("\\", "").replace("\u2060", "") for error in app.error] == [
        "Open http://127.0.0.1:8501."
    ]


def test_an_expected_failure_is_a_message_with_a_hint(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose service refuses shows message and hint; the strip and the menu stay."""

    def refuse(*_args: Any, **_options: Any) -> None:
        raise ConflictError("The disk is on holiday.", "Wait until it is back.")

    monkeypatch.setattr(services.library, "collections", refuse)
    open_page(app, "documents")
    assert not app.exception
    assert [error.value for error in app.error] == ["Wait until it is back\\."]


def test_a_defect_shows_a_reference_and_no_traceback(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw gives the person an id to look for in the log, and nothing else."""

    def break_down(*_args: Any, **_options: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(services.library, "collections", break_down)
    open_page(app, "documents")
    assert not app.exception
    [error] = app.error
    assert "reference is" in error.value
    assert "secret" not in error.value


def test_pages_never_render_html() -> None:
    """No page, component or dialog hands raw HTML to the browser."""
    sources = [*ENTRY_POINT.parent.rglob("*.py"), *(ENTRY_POINT.parents[1] / "pages").glob("*.py")]
    assert len(sources) > 20
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert "unsafe_allow_html" not in text, source
        assert "st.html(" not in text, source


def test_streamlit_collects_no_garbage_of_its_own() -> None:
    """The configuration that the figures rest on is in force where the pages run."""
    config = (ENTRY_POINT.parent / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert "postScriptGC = false" in config
    assert "gatherUsageStats = false" in config
    assert st.__version__ == "1.67.0"
