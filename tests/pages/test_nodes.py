from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from console.navigation import PageName, in_navigation
from console.ui.session_state import Key
from services.app.container import Services
from services.core.actor import Actor, Role
from services.core.errors import ConflictError, UnavailableError
from services.core.i18n import plural
from services.nodes.node_client import NodeAnswer
from services.nodes.types import Lease, Node, NodeState
from tests.actors import person
from tests.pages.conftest import open_page
from tests.pages.test_overview import texts

REPORT = {"rss_bytes": 734_003_200, "verdict": "leak", "budget_level": "high", "restart_phase": "running"}


def node(number: int, name: str, state: NodeState = NodeState.READY, **values: Any) -> Node:
    """A node that works, unless something else is said."""
    known: dict[str, Any] = {
        "epoch": 3,
        "version": "1.2.3",
        "url": f"http://10.0.0.{number}:8501",
        "started_at": time.time() - 7200,
        "silent": 0.4,
        "lag": 0,
        "report": REPORT,
    }
    return Node(number, name, state=state, **(known | values))


@dataclass
class Listed:
    """Nodes in place of those in a database: what the page asks of them, and what it was told to do."""

    nodes: list[Node]
    done: list[tuple[str, int]] = field(default_factory=list)
    error: Exception | None = None
    refusal: Exception | None = None
    answer: NodeAnswer = field(default_factory=lambda: NodeAnswer(202, "application/json", b"{}"))

    def all(self) -> list[Node]:
        if self.error is not None:
            raise self.error
        return self.nodes

    def take_over(self, _actor: Actor, number: int) -> Node:
        self.done.append(("take over", number))
        return self.nodes[0]

    def ask(self, _actor: Actor, number: int, method: str, target: str, *, body: bytes = b"") -> NodeAnswer:
        self.done.append((f"{method} {target} {body.decode()}".strip(), number))
        if self.refusal is not None:
            raise self.refusal
        return self.answer

    def drain(self, _actor: Actor) -> None:
        self.done.append(("drain", 0))

    def resume(self, _actor: Actor) -> None:
        self.done.append(("resume", 0))

    def forget(self, _actor: Actor, number: int) -> None:
        self.done.append(("forget", number))
        raise ConflictError("It works again; nothing was changed.")


Show = Callable[..., Listed]


@pytest.fixture
def show(app: AppTest, services: Services) -> Iterator[Show]:
    """Open the page with nodes that are there."""

    def show(*nodes: Node) -> Listed:
        listed = Listed(list(nodes))
        # The containers are frozen; what they name is replaced behind that.
        object.__setattr__(services, "nodes", listed)
        open_page(app, "nodes")
        assert not app.exception
        return listed

    yield show
    object.__setattr__(services, "nodes", None)


def shown(app: AppTest) -> str:
    """Texts of the page and its dialog, without what keeps them from being read as Markdown."""
    return texts(app).replace("\u2060", "")


def badge(app: AppTest, name: str) -> str:
    """The line of a card that has the node's name and state."""
    return next(element.value for element in app.markdown if element.value.startswith(f"**{name}**"))


def test_alone_the_page_says_what_several_nodes_need(app: AppTest) -> None:
    """Whoever types the address would find nothing, or an error."""
    open_page(app, "nodes")
    assert not app.exception
    said = [(each.proto.title, each.value) for each in app.info]
    assert any("alone" in title and "docs/nodes.md" in text for title, text in said)
    assert not [button for button in app.button if str(button.key).startswith("node-")]


def test_each_state_has_its_words_and_colour(app: AppTest, show: Show) -> None:
    """A node that is gone would look like one that works."""
    show(
        node(1, "alder", own=True),
        node(2, "birch", NodeState.STARTING),
        node(3, "cedar", report={**REPORT, "restart_phase": "draining"}),
        node(4, "elm", silent=3.2),
        node(5, "fir", NodeState.STOPPED, silent=4000.0),
        node(6, "hazel", NodeState.TAKEN_OVER, silent=90.0),
    )
    assert ":green-badge[Ready]" in badge(app, "alder")
    assert ":blue-badge[this node]" in badge(app, "alder")
    assert ":blue-badge[Starting]" in badge(app, "birch")
    assert ":orange-badge[Finishing its work]" in badge(app, "cedar")
    assert ":red-badge[Silent]" in badge(app, "elm")
    assert ":gray-badge[Stopped]" in badge(app, "fir")
    assert ":red-badge[Taken over]" in badge(app, "hazel")
    assert "No sign of life for 3 seconds" in shown(app)
    assert "Last sign of life 1 h ago" in shown(app)
    keys = {str(button.key) for button in app.button if str(button.key).startswith("node-")}
    works = {f"node-{action}-{n}" for action in ("take-over", "restart") for n in (2, 3, 4)}
    ready = {"node-drain-1", "node-drain-4"}
    assert keys == works | ready | {"node-forget-5", "node-forget-6"}


def test_a_node_is_described_in_words(app: AppTest, show: Show) -> None:
    """Memory, lag and claims would have to be looked for at each node."""
    claimed = (Lease("backup", 2, time.time()), Lease("of *another* kind", 2, time.time()))
    show(node(1, "alder", own=True), node(2, "birch", lag=12, leases=claimed))
    card = shown(app)
    assert "RSS: 700 MB · Verdict: Leak · Memory budget: High · Index: follows everything · Version: 1.2.3" in card
    assert "Index: 12 changes behind" in card
    assert "Does alone: a backup since" in card
    assert "of *another* kind since" in card
    assert plural("{count} change behind", "{count} changes behind", 1) == "1 change behind"


def test_what_a_node_has_not_said_is_left_open(app: AppTest, show: Show) -> None:
    """One that has just joined, or a later version, would break the page for all."""
    show(node(1, "alder", own=True), node(2, "birch", report={}), node(3, "cedar", report={"verdict": "new"}))
    assert shown(app).count("Verdict: –") == 2


def test_a_link_leads_to_a_node_that_can_be_reached(app: AppTest, show: Show) -> None:
    """An address of the node's own machine would open something else on the reader's."""
    show(node(1, "alder", own=True), node(2, "birch"), node(3, "cedar", url="http://127.0.0.1:8501"))
    links = str([element.proto for element in app.main])
    assert "http://10.0.0.2:8501/nodes" in links
    assert "http://127.0.0.1:8501/nodes" not in links


def test_taking_over_says_what_follows_and_asks_first(app: AppTest, show: Show) -> None:
    """A click beside the mark would break off people's answers."""
    listed = show(node(1, "alder", own=True), node(2, "birch"))
    app.button(key="node-take-over-2").click().run()
    assert "begun again by the other nodes" in shown(app)
    assert listed.done == []
    app.button(key="dialog-cancel").click().run()
    assert listed.done == []
    app.button(key="node-take-over-2").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert listed.done == [("take over", 2)]
    assert not app.exception


def test_a_restart_says_what_follows_and_asks_first(app: AppTest, show: Show) -> None:
    """A click beside the mark would take a node out; one that nobody starts again refuses, and that is to be said."""
    listed = show(node(1, "alder", own=True), node(2, "birch"))
    app.button(key="node-restart-2").click().run()
    assert "Restart one node at a time" in shown(app)
    assert listed.done == []
    app.button(key=Key.CONFIRM).click().run()
    assert listed.done == [('POST /api/restart {"reason": "requested on the page Nodes"}', 2)]
    assert not app.error
    refusal = b'{"detail": "Nothing would start Millpond again. It was not stopped.", "hint": "Supervise it."}'
    listed.answer = NodeAnswer(409, "application/problem+json", refusal)
    app.button(key="node-restart-2").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert "It was not stopped" in str([error.proto for error in app.error])


def test_any_node_is_drained_and_resumed(app: AppTest, show: Show) -> None:
    """A node that was drained would have no way back, or the wrong one of two would be drained."""
    drained = {**REPORT, "drained": True}
    listed = show(
        node(1, "alder", own=True),
        node(2, "birch"),
        node(3, "cedar", NodeState.DRAINING, report=drained),
        node(4, "elm"),
    )
    assert ":orange-badge[Drained]" in badge(app, "cedar")
    for key in ("node-drain-1", "node-drain-2"):
        app.button(key=key).click().run()
        assert "sends people to the other nodes" in shown(app)
        app.button(key=Key.CONFIRM).click().run()
    app.button(key="node-resume-3").click().run()
    assert not app.exception
    assert listed.done == [("drain", 0), ("POST /api/nodes/2/drain", 2), ("DELETE /api/nodes/3/drain", 3)]


def test_a_refusal_is_told(app: AppTest, show: Show) -> None:
    """Somebody would believe that the node was forgotten."""
    listed = show(node(1, "alder", own=True), node(2, "birch", NodeState.STOPPED))
    app.button(key="node-forget-2").click().run()
    app.button(key=Key.CONFIRM).click().run()
    assert listed.done == [("forget", 2)]
    assert "It works again" in str([error.proto for error in app.error])


def test_while_the_database_is_away_the_page_says_so(app: AppTest, show: Show) -> None:
    """The moment in which one looks at this page is the one in which it would be empty."""
    listed = show(node(1, "alder", own=True))
    listed.error = UnavailableError("The database does not answer.", "Wait.")
    open_page(app, "nodes")
    assert "The database does not answer" in str([element.proto for element in app.main])
    listed.error = None
    app.run()
    assert ":green-badge[Ready]" in badge(app, "alder")


def test_the_navigation_has_the_page_where_nodes_can_be() -> None:
    """Most ponds are served by one process: a page that says only this would stand in every menu."""
    operator = person(1, {}, Role.OPERATOR)
    assert in_navigation(operator, PageName.NODES, shared=True)
    assert not in_navigation(operator, PageName.NODES, shared=False)
    assert not in_navigation(None, PageName.NODES, shared=False)
    assert not in_navigation(person(1, {}), PageName.NODES, shared=True)
    assert in_navigation(operator, PageName.OVERVIEW, shared=False)
