"""The page "Memory" where there are several nodes; with two real ones `tests/browser/test_nodes.py` opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from console.ui.session_state import Key
from services.app.container import Services
from services.core.errors import UnavailableError
from services.nodes.node_client import NodeAnswer
from services.nodes.types import Node
from tests.pages.conftest import open_page
from tests.pages.test_nodes import Listed, node, shown

Open = Callable[..., Listed]


@pytest.fixture
def opened(app: AppTest, services: Services) -> Iterator[Open]:
    """Open the page with nodes that are there, and an address."""

    def opened(*nodes: Node, error: Exception | None = None, answer: NodeAnswer | None = None, **query: str) -> Listed:
        listed = Listed(list(nodes))
        listed.answer = answer or listed.answer
        listed.refusal = error
        object.__setattr__(services, "nodes", listed)
        open_page(app, "memory", **query)
        assert not app.exception
        return listed

    yield opened
    object.__setattr__(services, "nodes", None)


def choices(app: AppTest) -> list[str]:
    return [str(box.key) for box in app.selectbox]


def test_a_node_that_is_alone_offers_no_choice(app: AppTest, opened: Open) -> None:
    """Everybody would have a list with one entry above the verdict."""
    opened(node(1, "alder", own=True))
    assert Key.MEMORY_NODE not in choices(app)
    assert "Watching costs" in shown(app)


def test_this_nodes_own_memory_comes_first(app: AppTest, opened: Open) -> None:
    """Whoever opens the page would wait for another node, and not for this one."""
    listed = opened(node(1, "birch"), node(2, "alder", own=True))
    assert app.selectbox(key=Key.MEMORY_NODE).value == "alder"
    assert listed.done == []


def test_a_node_that_does_not_answer_is_said_to_be_so(app: AppTest, opened: Open) -> None:
    """During an outage the page would be empty, or show the memory of this node as that of the other."""
    away = UnavailableError("The node birch cannot be asked at http://10.0.0.2:8501: no route.", "See whether it runs.")
    listed = opened(node(1, "alder", own=True), node(2, "birch"), error=away, node="birch")
    assert app.selectbox(key=Key.MEMORY_NODE).value == "birch"
    said = [(each.proto.title, each.value) for each in app.error]
    assert any("cannot be asked" in title.replace("\\", "") and "See whether" in text for title, text in said)
    assert "http://10.0.0.2:8501/memory" in str([element.proto for element in app.main])
    assert "Watching costs" not in shown(app)
    assert {asked for asked, _number in listed.done} == {"GET /api/memory"}


def test_a_node_of_another_version_is_no_defect(app: AppTest, opened: Open) -> None:
    """The reference of a defect would tell nobody that the versions differ."""
    opened(
        node(1, "alder", own=True), node(2, "birch"), answer=NodeAnswer(200, "application/json", b"{}"), node="birch"
    )
    assert "another version" in str([each.proto for each in app.error])


def test_a_node_that_has_gone_is_named(app: AppTest, opened: Open) -> None:
    """An old bookmark would show this node's memory as if it were that of the other."""
    opened(node(1, "alder", own=True), node(2, "birch"), node="*rowan*")
    assert "No node named *rowan* is running" in str([each.value for each in app.warning]).replace("\\", "")
    assert app.selectbox(key=Key.MEMORY_NODE).value == "alder"


def test_without_the_database_this_nodes_memory_is_shown(app: AppTest, services: Services) -> None:
    """The memory of a process is what one wants to see while something else is away."""
    listed = Listed([node(1, "alder", own=True)], error=UnavailableError("The database does not answer.", "Wait."))
    object.__setattr__(services, "nodes", listed)
    try:
        open_page(app, "memory")
    finally:
        object.__setattr__(services, "nodes", None)
    assert not app.exception
    assert "Watching costs" in shown(app)
