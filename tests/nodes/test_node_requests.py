"""What one node asks another: tokens for a single request, and who may answer at the address of a node."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.audit.signing import SigningKey
from services.core.actor import Actor, Permission, Role
from services.core.auditing import Origin, Way, coming_from
from services.core.errors import ConflictError, UnauthorizedError, UnavailableError
from services.core.pinned_certificate import fingerprint_of
from services.nodes import node_client
from services.nodes.node_tokens import LIFETIME_SECONDS, SCHEME, NodeRequest, NodeTokens, Sender
from services.nodes.types import NodeState
from tests.certificates import make_pair
from tests.nodes.joined import JoinedNode, joined

ADA = Actor("ada", Role.OPERATOR, person_id=7, session_id="a session")
REQUEST = NodeRequest(2, 5, "GET", "/api/memory?range=1h")


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def issued(clock: Clock, actor: Actor = ADA, key: bytes = b"k") -> str:
    return NodeTokens(key, clock).issue(Sender(actor, "10.0.0.7", "one"), REQUEST)


def test_a_token_says_for_whom_a_node_asks() -> None:
    """The other node would act for nobody, or for the node, and its audit log would name neither person nor address."""
    clock = Clock()
    sender = NodeTokens(b"k", clock).redeem(issued(clock), REQUEST)
    assert (sender.actor.name, sender.actor.role, sender.actor.person_id) == ("ada", Role.OPERATOR, 7)
    assert (sender.address, sender.node) == ("10.0.0.7", "one")


@pytest.mark.parametrize(
    ("scopes", "may"), [(None, True), ({Permission.READ, Permission.OPERATE}, True), (set(), False)]
)
def test_a_token_is_for_operating_and_for_no_more_than_its_person_may(
    scopes: set[Permission] | None, may: bool
) -> None:
    """Whoever holds an API token of a narrow scope would have more at another node."""
    clock = Clock()
    admin = Actor("root", Role.ADMIN, scopes=None if scopes is None else frozenset(scopes))
    found = NodeTokens(b"k", clock).redeem(issued(clock, admin), REQUEST).actor
    assert found.permissions == ({Permission.OPERATE} if may else set())


def test_a_token_is_worth_something_once() -> None:
    """Whoever reads it on the way could restart a node with it again and again."""
    clock = Clock()
    token, tokens = issued(clock), NodeTokens(b"k", clock)
    tokens.redeem(token, REQUEST)
    with pytest.raises(UnauthorizedError, match="used before"):
        tokens.redeem(token, REQUEST)
    assert tokens.redeem(issued(clock), REQUEST).node == "one"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (NodeRequest(3, 5, "GET", "/api/memory?range=1h"), "another node"),
        (NodeRequest(2, 6, "GET", "/api/memory?range=1h"), "before this node was started"),
        (NodeRequest(2, 5, "POST", "/api/memory?range=1h"), "another request"),
        (NodeRequest(2, 5, "GET", "/api/memory"), "another request"),
    ],
)
def test_a_token_is_for_one_request_at_one_node(request_: NodeRequest, reason: str) -> None:
    """One for a view would restart a node, one of a node another; after a restart nobody knows which were used."""
    clock = Clock()
    with pytest.raises(UnauthorizedError, match=reason):
        NodeTokens(b"k", clock).redeem(issued(clock), request_)


@pytest.mark.parametrize("passed", [LIFETIME_SECONDS + 0.1, -0.1])
def test_a_token_lives_for_seconds(passed: float) -> None:
    """One that is found later would be as good as a password; what was used is forgotten after that time."""
    clock = Clock()
    token = issued(clock)
    clock.now += passed
    with pytest.raises(UnauthorizedError, match="time is over"):
        NodeTokens(b"k", clock).redeem(token, REQUEST)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _token: issued(Clock(), key=b"another key"),
        lambda token: f"A{token[1:]}",
        lambda token: token.partition(".")[0],
        lambda token: token[:-1],
        lambda _token: "",
        lambda _token: "\u00e9.\u00e9",
        lambda token: token + "0" * 100_000,
    ],
)
def test_what_is_not_signed_with_the_key_is_refused(damage: Callable[[str], str]) -> None:
    """Anybody could name themselves an administrator."""
    clock = Clock()
    with pytest.raises(UnauthorizedError, match="not signed"):
        NodeTokens(b"k", clock).redeem(damage(issued(clock)), REQUEST)


def test_the_key_is_that_of_the_audit_log_and_of_no_other_use(tmp_path: Path) -> None:
    """Nodes with different keys would not understand each other, and a signature of one use would do for another."""
    key = SigningKey(tmp_path / "audit.key")
    made = key.derived("one use")
    assert made == SigningKey(tmp_path / "audit.key").derived("one use")
    assert len(made) == 32
    assert len({made, key.derived("another use"), SigningKey(tmp_path / "other.key").derived("one use")}) == 3


@dataclass
class Answering:
    """A server where a node should be: what it answers, and what it was asked."""

    content_type: str = "application/json"
    status: int = 200
    body: bytes = b'{"rss_bytes": 5}'
    node: JoinedNode | None = None  # it recognizes the tokens
    hangs: bool = False
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)


@contextmanager
def answering(found: Answering, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve, and yield the address."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            found.asked.append((self.command, self.path, dict(self.headers), sent))
            scheme, _space, token = self.headers["authorization"].partition(" ")
            assert scheme == SCHEME
            if found.hangs:
                ended.wait(60)
                return
            if found.node is not None:
                found.senders.append(found.node.nodes.recognize(token, self.command, self.path))
            self.send_response(found.status)
            self.send_header("content-type", found.content_type)
            self.send_header("content-length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        do_GET = do_POST = _serve  # noqa: N815 - names of the library

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def asking(folder: Path, url: str) -> Iterator[tuple[JoinedNode, JoinedNode]]:
    """Two nodes of which the second one says that it is at `url`."""
    with joined(folder, "one") as one, joined(folder, "two", url=url) as two:
        two.say(NodeState.READY)
        yield one, two


def test_a_node_asks_another_for_somebody(tmp_path: Path) -> None:
    """Through the real database: number, epoch and time are what both nodes have from it."""
    found = Answering()
    with answering(found) as url, asking(tmp_path, url) as (one, two):
        found.node = two
        number = two.nodes.membership.number
        with coming_from(Origin(Way.API, "10.0.0.7")):
            answer = one.nodes.ask(ADA, number, "GET", "/api/memory?range=1h")
            one.nodes.ask(ADA, number, "POST", "/api/restart", body=b'{"reason": "now"}')
        assert (answer.status, answer.json()) == (200, {"rss_bytes": 5})
        assert [(method, path, body) for method, path, _headers, body in found.asked] == [
            ("GET", "/api/memory?range=1h", b""),
            ("POST", "/api/restart", b'{"reason": "now"}'),
        ]
        assert {(sender.actor.name, sender.address, sender.node) for sender in found.senders} == {
            ("ada", "10.0.0.7", "one")
        }
        one.take_over(two)
        with pytest.raises(ConflictError, match="has ended"):
            one.nodes.ask(ADA, number, "GET", "/api/memory")
        with pytest.raises(ConflictError, match="that you asked"):
            one.nodes.ask(ADA, one.nodes.membership.number, "GET", "/api/memory")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Answering(content_type="text/html", body=b"<p>A router</p>"), "no node"),
        (Answering(status=302, content_type="text/plain"), "no node"),
        (Answering(status=401, body=b'{"detail": "It is for another node."}'), "It is for another node"),
        (Answering(body=b"x" * 300), "too long"),
        (Answering(hangs=True), "in time"),
    ],
)
def test_what_is_no_node_is_said_in_words(
    tmp_path: Path, found: Answering, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two machines, a node that tells others 127.0.0.1 has them ask themselves, or whatever else is there."""
    monkeypatch.setattr(node_client, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(node_client, "MOST_BYTES", 200)
    with answering(found) as url, asking(tmp_path, url) as (one, two):
        with pytest.raises(UnavailableError) as raised:
            one.nodes.ask(ADA, two.nodes.membership.number, "GET", "/api/memory")
        assert reason in raised.value.message
        assert "Nothing was changed" in raised.value.message
        assert url in raised.value.message
        assert "MILLPOND_NODE_URL" in raised.value.hint


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid:80", "nonsense", "http://[::bad"])
def test_a_node_that_cannot_be_reached_is_said_in_words(tmp_path: Path, url: str) -> None:
    """An operator would see the reference of a defect during an outage."""
    with asking(tmp_path, url) as (one, two), pytest.raises(UnavailableError, match="Nothing was changed"):
        one.nodes.ask(ADA, two.nodes.membership.number, "POST", "/api/restart")


def test_a_restart_without_an_answer_may_have_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told that nothing was changed restarts the next node while this one is away."""
    monkeypatch.setattr(node_client, "ANSWER_SECONDS", 0.5)
    with answering(Answering(hangs=True)) as url, asking(tmp_path, url) as (one, two):
        with pytest.raises(UnavailableError) as raised:
            one.nodes.ask(ADA, two.nodes.membership.number, "POST", "/api/restart")
        assert "may have done it" in raised.value.message
        assert "Nothing was changed" not in raised.value.message


@pytest.mark.parametrize("told", ["its own", "another", "none"])
def test_with_tls_that_very_certificate_is_expected(tmp_path: Path, told: str) -> None:
    """Whoever sits in between with a certificate of their own would answer in place of the node."""
    certificate, key = make_pair(name="pond.example").write(tmp_path / "own")
    other, _key = make_pair(name="pond.example").write(tmp_path / "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    told_of = {"its own": certificate, "another": other}
    report = {"certificate": fingerprint_of(told_of[told])} if told in told_of else {}
    (tmp_path / "nodes").mkdir()
    found = Answering()
    with answering(found, context) as url, asking(tmp_path / "nodes", url) as (one, two):
        membership = two.nodes.membership
        two.store.beat(membership.number, membership.epoch, state=NodeState.READY, applied=0, report=report)
        refused = nullcontext() if told == "its own" else pytest.raises(UnavailableError, match="certificate")
        with refused:
            one.nodes.ask(ADA, membership.number, "GET", "/api/memory")
        assert bool(found.asked) == (told == "its own")
