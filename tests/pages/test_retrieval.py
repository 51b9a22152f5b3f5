from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from console.ui.session_state import Key
from services.app.container import Services
from services.core.actor import SERVICE
from services.knowledge.types import Document, RetrievalSettings
from tests.pages.conftest import open_page

Add = Callable[..., Document]


def search(app: AppTest, query: str) -> AppTest:
    app.text_area(key=Key.RETRIEVAL_QUERY).set_value(query)
    return app.button(key=Key.RETRIEVAL_RUN).click().run()


def test_never_run_and_found_nothing_differ(app: AppTest) -> None:
    """Before the first search there is another face than after one without hits."""
    open_page(app, "retrieval")
    assert app.info
    assert not app.warning
    search(app, "seals")
    assert not app.info
    assert app.warning


def test_hits_have_all_scores_and_marked_terms(app: AppTest, add: Add) -> None:
    """Each hit shows fused, dense and lexical score apart, its document, and the query's words marked."""
    add("mill.txt", "The mill's seals are inspected every twelve months.")
    open_page(app, "retrieval")
    search(app, "seals inspected")
    assert not app.exception
    names = [bar.text.split()[0] for bar in app.progress]
    assert names[:3] == ["fused", "dense", "lexical"]
    assert any("mill" in link.value for link in app.page_link)
    assert any(":orange-background[" in element.value for element in app.markdown)
    assert any("weight of the embedding" in caption.value for caption in app.caption)


def test_what_was_read_instead_is_shown(app: AppTest, add: Add) -> None:
    """A word that no document has is named with the one that was searched for."""
    add("mill.txt", "The mill's seals are inspected every twelve months by the machinist.")
    open_page(app, "retrieval")
    search(app, "Which machinnist inspects the seals?")
    assert not app.exception
    assert any("Nothing has “machinnist”; searched for “machinist”" in caption.value for caption in app.caption)
    assert any(expander.label == "What the embedding counts" for expander in app.expander)


def test_settings_apply_to_chat(app: AppTest, services: Services) -> None:
    """What was tried is kept for chat only when asked to."""
    before = services.library.retrieval_settings()
    open_page(app, "retrieval")
    app.number_input(key="retrieval-k").set_value(3)
    app.slider(key="retrieval-threshold").set_value(0.25)
    search(app, "seals")
    assert services.library.retrieval_settings() == before
    app.button(key=Key.RETRIEVAL_APPLY).click().run()
    applied = services.library.retrieval_settings()
    services.library.apply_retrieval_settings(SERVICE, before)
    assert (applied.k, applied.threshold) == (3, 0.25)
    assert isinstance(applied, RetrievalSettings)


def test_an_empty_query_is_refused(app: AppTest) -> None:
    """Searching for nothing gives a hint, not an empty result."""
    open_page(app, "retrieval")
    search(app, "  ")
    assert app.error
    assert not app.exception
