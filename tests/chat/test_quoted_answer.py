from __future__ import annotations

import pytest

from services.chat.quoted_answer import quoted_answer, without_hint
from services.core.i18n import speaking
from services.core.languages import LANGUAGES
from tests.chat.conftest import SEALS, AQuote, SomeQuotes


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["open", "summary", "decision"])
def test_that_no_model_is_connected_is_taken_off_in_any_language(language: str, kind: str) -> None:
    """An answer keeps the language it was written in; what limits this very answer stays."""
    with speaking(language):
        found = quoted_answer(SomeQuotes((SEALS,), (AQuote(0, "Check the oil weekly."),), kind, "pump manual.pdf"))
    assert found is not None
    shown = without_hint(found.text)
    assert shown.startswith("“Check the oil weekly.” [1]")
    assert len(shown) < len(found.text)
    assert (shown.count("\n\n") > 0) is (kind != "open")
    assert without_hint(shown) == shown


def test_why_a_model_does_not_answer_stays() -> None:
    """It belongs to that answer: at another time the model may be there."""
    found = quoted_answer(SomeQuotes((SEALS,), (AQuote(0, "Check the oil weekly."),)), "It is down.")
    assert found is not None
    assert without_hint(found.text) == found.text
    assert "It is down." in found.text
