"""What the fronts of several nodes do with each kind of request, with servers at the nodes' place that do one thing."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from console.api.middleware.headers import TRANSPORT_SECURITY
from tests.deploy.tools import tool
from tests.front.fronts import HAPROXY, Front, Run, haproxy, nginx_alone, nginx_with_checks
from tests.front.stand_ins import SECONDS, StandIn, stand_ins
from tests.servers import eventually
from tests.siege.connections import is_closed

COOKIE = "millpond_node"
FRONTS: dict[str, Run] = {"haproxy": haproxy, "nginx": nginx_with_checks}


@pytest.fixture
def nodes() -> Iterator[dict[str, StandIn]]:
    with stand_ins() as found:
        yield found


def addresses(nodes: dict[str, StandIn]) -> dict[str, str]:
    return {name: node.address for name, node in nodes.items()}


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest, nodes: dict[str, StandIn], tmp_path: Path) -> Iterator[Front]:
    with FRONTS[request.param](tmp_path / "front", addresses(nodes)) as running:
        yield running


@pytest.fixture
def client(front: Front) -> Iterator[httpx.Client]:
    with client_of(front) as found:
        yield found


def client_of(front: Front) -> httpx.Client:
    """A client that keeps its cookies, but no connection: nginx closes idle ones when it reads its files again, which
    browsers know."""
    none = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=front.url, verify=front.trusted, trust_env=False, timeout=SECONDS, limits=none)


def without_cookie(front: Front, method: str, path: str) -> httpx.Response:
    return httpx.request(method, front.url + path, verify=front.trusted, trust_env=False, timeout=SECONDS)


def test_a_post_is_never_sent_twice(front: Front, nodes: dict[str, StandIn]) -> None:
    """A node ends after it has received a request: what may have changed something is not done again by the other."""
    answer = without_cookie(front, "POST", "/drop")
    assert answer.status_code in {502, 503}
    assert sum(node.seen["POST /drop"] for node in nodes.values()) == 1


def test_a_post_that_is_refused_is_not_sent_elsewhere(front: Front, nodes: dict[str, StandIn]) -> None:
    """What a node says, when to try again included, is what its client reads."""
    answer = without_cookie(front, "POST", "/away")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert sum(node.seen["POST /away"] for node in nodes.values()) == 1


def test_what_changes_nothing_is_asked_of_another_node(front: Front, nodes: dict[str, StandIn]) -> None:
    """A reader would see an error although another node has the answer."""
    without_cookie(front, "GET", "/drop")
    seen = [node.seen["GET /drop"] for node in nodes.values()]
    assert min(seen) >= 1
    assert sum(seen) <= 3  # what ends every node that receives it must not go round for ever


def test_a_request_that_a_dead_node_never_got_goes_to_the_other(nodes: dict[str, StandIn], tmp_path: Path) -> None:
    """In the time before a check notices, half of all requests would fail, uploads among them."""
    with stand_ins("c") as gone:
        there = addresses(nodes) | {"b": gone["c"].address}
    for name, run in {"haproxy": haproxy, "nginx": nginx_alone}.items():
        with run(tmp_path / name, there) as front:
            for number in range(4):
                answer = without_cookie(front, "POST", f"/{number}")
                assert (answer.status_code, answer.headers["X-Millpond-Node"]) == (200, "a")


def test_a_browser_stays_on_its_node(front: Front, client: httpx.Client, nodes: dict[str, StandIn]) -> None:
    """Pages and their uploads live in one process; another browser may get the other one."""
    first = client.get("/")
    cookie = first.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}={first.text};")
    assert {"HttpOnly", "SameSite=Lax", "Secure"} <= {part.strip() for part in cookie.split(";")}
    again = [client.get("/") for _number in range(4)]
    assert {answer.text for answer in again} == {first.text}
    assert not any("Set-Cookie" in answer.headers for answer in again)
    assert {without_cookie(front, "GET", "/").text for _number in range(4)} == {"a", "b"}


def test_a_browser_leaves_a_node_that_is_not_ready(
    front: Front, client: httpx.Client, nodes: dict[str, StandIn]
) -> None:
    """Its cookie would hold it with a node that drains, or that does not work for long; an unknown one is no harm."""
    home = client.get("/").text
    nodes[home].readiness = 503
    eventually(lambda: client.get("/").text != home, seconds=10.0, what="the other node")
    other = client.cookies[COOKIE]
    assert other != home
    client.cookies.clear()
    client.cookies.set(COOKIE, "no-such-node")
    eventually(lambda: client.get("/").text == other, seconds=10.0, what="the other node")


def test_what_is_in_progress_on_a_node_that_drains_ends_there(
    front: Front, client: httpx.Client, nodes: dict[str, StandIn]
) -> None:
    """A planned restart would cut off the answers that it waits for."""
    with client.stream("GET", "/pieces") as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "data: one\n\n"
        home = client.cookies[COOKIE]
        nodes[home].readiness = 503
        eventually(lambda: without_cookie(front, "GET", "/").text != home, seconds=10.0, what="the other node")
        eventually(lambda: {without_cookie(front, "GET", "/").text for _number in range(4)} != {"a", "b"}, seconds=10.0)
        nodes[home].go_on.set()
        assert "".join(pieces) == "data: two\n\n"


def test_an_answer_arrives_piece_by_piece(client: httpx.Client, nodes: dict[str, StandIn]) -> None:
    """Held back until it is whole, an answer would be shown after a minute instead of while it is written."""
    with client.stream("GET", "/pieces") as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "data: one\n\n"  # the second one is written only after this
        for node in nodes.values():
            node.go_on.set()
        assert "".join(pieces) == "data: two\n\n"


def test_an_upload_arrives_while_it_is_sent(client: httpx.Client, nodes: dict[str, StandIn]) -> None:
    """A front that first collects a file takes its disk, and the node's limits count for nothing."""
    half = 1_000_000

    def body() -> Iterator[bytes]:
        yield b"x" * half
        eventually(
            lambda: any(node.arrived.is_set() for node in nodes.values()), seconds=SECONDS, what="the first half"
        )
        yield b"x" * half

    answer = client.post("/upload", content=body(), headers={"Content-Length": str(2 * half)})
    assert answer.text == str(2 * half)


def test_who_leaves_is_gone_at_the_node_too(front: Front, nodes: dict[str, StandIn]) -> None:
    """An answer that nobody waits for any more would be computed to its end, on a slot that others wait for."""
    place = urlsplit(front.url)
    assert place.hostname is not None
    with (
        socket.create_connection((place.hostname, place.port or 0)) as plain,
        front.trusted.wrap_socket(plain, server_hostname=place.hostname) as secure,
    ):
        secure.sendall(f"GET /slow HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        eventually(lambda: any(node.seen["GET /slow"] for node in nodes.values()), seconds=SECONDS, what="the request")
    eventually(lambda: any(node.left.is_set() for node in nodes.values()), seconds=SECONDS, what="its end")


def test_a_client_does_not_say_who_it_is(client: httpx.Client, nodes: dict[str, StandIn]) -> None:
    """By headers of its own it would choose its address, and pass for another."""
    client.get("/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"})
    seen = next(node.headers for node in nodes.values() if node.headers)
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert seen["host"] == urlsplit(str(client.base_url)).netloc


def test_tls_is_the_only_way(front: Front, client: httpx.Client) -> None:
    """Passwords would go over the network in plain text; browsers are told for a year, as by Millpond itself."""
    answer = httpx.post(f"{front.plain}/api/search?a=b", trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"{front.plain.replace('http', 'https', 1)}/api/search?a=b"
    assert client.get("/").headers["Strict-Transport-Security"] == TRANSPORT_SECURITY


def test_a_node_that_lives_says_itself_what_is_wrong(front: Front, nodes: dict[str, StandIn]) -> None:
    """With all nodes not ready (the database is away, disks are full) nobody would learn why."""
    for node in nodes.values():
        node.readiness = 503
    known = (
        (lambda: front.command("show stat").count("NOLB") == 2)
        if front.watch
        else (lambda: front.log.with_name("check.log").read_text().count("-> not ready") == 2)
    )
    eventually(known, seconds=10.0, what="the front's knowledge")
    answers = [without_cookie(front, "GET", "/") for _number in range(4)]
    assert {answer.status_code for answer in answers} == {200}


def test_when_no_node_lives_a_page_says_so(nodes: dict[str, StandIn], tmp_path: Path) -> None:
    """People would see the front's bare error, programs would not know when to come back."""
    with stand_ins() as gone:
        there = addresses(gone)
    for name, run in FRONTS.items():
        with run(tmp_path / name, there) as front:
            page = without_cookie(front, "GET", "/")
            assert page.status_code in {502, 503}
            assert page.headers["Retry-After"] == "2"
            assert "Millpond cannot be reached" in page.text
            assert "暂时无法连接" in page.text
            assert page.headers["Content-Type"].startswith("text/html")
            if front.watch:
                eventually(
                    lambda: (
                        without_cookie(front, "POST", "/api/search").headers["Content-Type"]
                        == "application/problem+json"
                    ),
                    seconds=10.0,
                    what="a problem document",
                )
                told = without_cookie(front, "POST", "/api/search")
                assert (told.status_code, told.headers["Retry-After"]) == (503, "2")
                assert told.json()["type"] == "urn:millpond:problem:unavailable"
                assert httpx.get(f"{front.watch}/alive", trust_env=False).status_code == 503


def test_half_heads_are_cut_off(nodes: dict[str, StandIn], tmp_path: Path) -> None:
    """Connections that say half of something would take all places; with the time of the file divided by ten. nginx's
    are tried with its configuration for one node."""
    changes = {"timeout http-request 10s": "timeout http-request 1s"}
    with haproxy(tmp_path, addresses(nodes), changes) as front:
        place = urlsplit(front.url)
        assert place.hostname is not None
        with (
            socket.create_connection((place.hostname, place.port or 0)) as plain,
            front.trusted.wrap_socket(plain, server_hostname=place.hostname) as half,
        ):
            half.sendall(b"GET / HTTP/1.1\r\nHost: example.org\r\n")
            eventually(lambda: is_closed(half), seconds=8.0, what="its end")


def test_a_node_is_taken_out_by_hand(nodes: dict[str, StandIn], tmp_path: Path) -> None:
    """With the commands of docs/front.md: browsers that are there go to another node, what is in progress ends, and the
    node is back afterwards."""
    with haproxy(tmp_path, addresses(nodes)) as front, client_of(front) as client:
        home = client.get("/").text
        with client.stream("GET", "/pieces") as answer:
            pieces = answer.iter_text()
            next(pieces)
            front.command(f"set server ready/{home} state maint; set server millpond/{home} state drain")
            assert home not in {client.get("/").text for _number in range(4)}
            assert home not in {without_cookie(front, "GET", "/").text for _number in range(4)}
            nodes[home].go_on.set()
            assert "".join(pieces) == "data: two\n\n"
        front.command(f"set server ready/{home} state ready; set server millpond/{home} state ready")
        eventually(
            lambda: home in {without_cookie(front, "GET", "/").text for _number in range(4)}, what="the node's return"
        )


def test_haproxy_takes_its_file_without_a_warning(tmp_path: Path) -> None:
    """A setting that it passes over would be found out when it is needed."""
    with stand_ins() as nodes, haproxy(tmp_path, addresses(nodes)) as front:
        done = subprocess.run(
            [tool("haproxy"), "-c", "-dW", "-V", "-f", str(tmp_path / "haproxy.cfg")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        assert "millpond" in front.command("show stat")
        assert "haproxy_server_check_status" in httpx.get(f"{front.watch}/metrics", trust_env=False).text
        assert httpx.get(f"{front.watch}/alive", trust_env=False).status_code == 200
    assert HAPROXY.read_text().count("Each node:") >= 5
