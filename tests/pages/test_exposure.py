from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from tests.pages.conftest import open_page

SAID = "Insecure, for tests only"


def is_said(app: AppTest) -> bool:
    return any(SAID in element.value for element in app.markdown)


@pytest.mark.parametrize("page", ["chat", "documents", "settings"])
def test_an_insecure_console_says_so_on_every_page(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """Somebody would put documents into a console that was started for a test."""
    assert not is_said(open_page(app, page))
    monkeypatch.setitem(vars(services.settings), "insecure", True)
    assert is_said(open_page(app, page))
