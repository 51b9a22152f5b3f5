from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.current_actor import page_user
from services.app.container import Services
from services.core.actor import SERVICE
from services.core.requests import RequestKind
from services.knowledge.types import Document
from tests.core.shared_cache.sharing import sharing
from tests.pages.conftest import open_page
from tests.redis_server import redis_server
from tests.servers import eventually


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption]).replace("\\", "")


def test_requests_are_listed_and_can_be_cancelled(app: AppTest, services: Services) -> None:
    """Who, what, since when, place and memory; the button ends that request; then it is among the recently finished."""
    limit = services.requests.limits(RequestKind.DIAGNOSTIC)
    with services.requests.open(RequestKind.DIAGNOSTIC, "census of objects", user="ann") as first:
        second = services.requests.open(RequestKind.DIAGNOSTIC, "deep size", user="bob")
        assert limit.total == 1
        open_page(app, "overview")
        assert not app.exception
        shown = texts(app)
        assert "census of objects" in shown
        assert "number 1 in the queue" in shown
        assert "at the start" in shown
        app.button(key=f"cancel-{second.id}").click().run()
        assert second.cancelled
        assert not first.cancelled
        second.close()
    app.run()
    assert any("Recently finished" in expander.label for expander in app.expander)


def test_caches_show_their_hit_rates(app: AppTest, services: Services, add: Callable[..., Document]) -> None:
    """Each cache with its share of hits and of its budget."""
    add("pump.txt", "Pump seals are covered for 12 months.")
    services.retriever.search(SERVICE, "How long are seals covered?")
    services.retriever.search(SERVICE, "How long are seals covered?")
    open_page(app, "overview")
    assert not app.exception
    assert [subheader.value for subheader in app.subheader].count("Caches") == 1
    assert services.caches.embeddings.stats().hits > 0


def test_without_a_page_nobody_has_a_tab() -> None:
    """Outside of a page's script there is no session to name."""
    assert page_user() == "local"


def test_it_says_how_the_shared_cache_does(app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would see that Redis is left alone, what it brings, or that something deleted is still there."""
    with redis_server() as redis, sharing(redis) as node:
        node.keep("key", b"an answer")
        node.caches.answers.clear()
        assert node.caches.answers.get("key")
        monkeypatch.setattr(services.caches, "shared", node.shared)
        open_page(app, "overview")
        assert not app.exception
        shown = texts(app)
        assert "Shared with the other nodes" in shown
        assert any("shared: " in each.text and "1 hit" in each.text for each in app.get("progress"))
        redis.stop()
        node.caches.forget_documents()
        eventually(lambda: node.shared.status().state == "open", seconds=20.0)
        app.run()
        assert any("is left alone" in warning.value and "cannot be reached" in warning.value for warning in app.warning)
        assert "not yet removed" in texts(app)
