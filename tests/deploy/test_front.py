"""Real HAProxy and nginx before two real nodes: what clients, pages and uploads notice when one of them goes.

`make front` does it over several rounds, and has nginx with a node that is killed or stopped.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from services.operations.restarts import EXIT_CODE
from tests.front.faults import Noticed, drained, hung, killed, noticed
from tests.front.fronts import Front, haproxy, nginx_with_checks
from tests.front.nodes import Nodes, running_nodes
from tests.front.pages import opened_page
from tests.servers import eventually

CLIENT = "127.0.0.7"  # an address of loopback that is no proxy


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture
def nodes(started: Nodes) -> Nodes:
    """Two nodes that are ready, whatever a test before has done to them."""
    started.up()
    return started


@pytest.fixture
def by_haproxy(nodes: Nodes, tmp_path: Path) -> Iterator[Front]:
    with haproxy(tmp_path / "haproxy", nodes.addresses) as front:
        yield front


@pytest.fixture
def by_patient_haproxy(nodes: Nodes, tmp_path: Path) -> Iterator[Front]:
    """For what takes no fault: on a machine that is busy otherwise nodes answer late."""
    with haproxy(tmp_path / "haproxy", nodes.addresses, {"timeout check 1200ms": "timeout check 20s"}) as front:
        yield front


@pytest.fixture
def by_nginx(nodes: Nodes, tmp_path: Path) -> Iterator[Front]:
    with nginx_with_checks(tmp_path / "nginx", nodes.addresses) as front:
        yield front


@pytest.mark.parametrize(("name", "megabytes"), [("by_patient_haproxy", 100), ("by_nginx", 20)])
def test_pages_uploads_and_addresses_pass(
    name: str, megabytes: int, nodes: Nodes, request: pytest.FixtureRequest
) -> None:
    """A page that changes its node loses what it shows; 100 MB in a buffer fill it; all people would be the front."""
    front: Front = request.getfixturevalue(name)
    page = opened_page(front)
    home = page.node
    for _number in range(3):
        page.open()
        assert page.node == home
    page.close()
    noise = random.Random(1).randbytes(megabytes * 1_000_000)
    source = httpx.HTTPTransport(local_address=CLIENT, verify=front.trusted)
    with httpx.Client(base_url=front.url, transport=source, timeout=60.0) as client:
        added = client.post("/api/documents", files={"file": ("noise.bin", noise)}, headers={"X-Request-ID": name})
        assert added.status_code == 202, added.text
        number = added.json()["documents"][0]["id"]
        fetched = hashlib.sha256()
        with client.stream("GET", f"/api/documents/{number}/original") as answer:  # the cookie leads to the same node
            for piece in answer.iter_bytes():
                fetched.update(piece)
        assert fetched.digest() == hashlib.sha256(noise).digest()
        server = nodes[added.headers["X-Millpond-Node"]]
        client.delete(f"/api/documents/{number}")
    seen: list[str] = []

    def logged() -> bool:
        lines = (json.loads(line) for line in server.log.read_text().splitlines() if name in line)
        seen.extend(str(line["client"]) for line in lines if line["event"] == "request")
        return bool(seen)

    eventually(logged, what="the log line")
    assert seen[0] == CLIENT


def left_in_time(front: Front, nodes: Nodes, fault: Callable[[Nodes, str], None]) -> Noticed:
    """Return what was noticed of a fault; of a second one where a machine that is busy otherwise delayed the first."""
    found = noticed(front, nodes, fault)
    if found.outcome.later or max(found.outcome.gap, found.page_seconds) > 2.0:
        nodes.up()
        found = noticed(front, nodes, fault)
    return found


def test_haproxy_leaves_a_node_that_hangs(by_haproxy: Front, nodes: Nodes) -> None:
    """Its connections stay open and it takes new ones: everything that reaches it would wait for minutes."""
    found = left_in_time(by_haproxy, nodes, hung)
    assert found.outcome.later == 0, found
    assert found.outcome.gap <= 2.0, found
    assert found.page_seconds <= 3.0, found


def test_nginx_leaves_a_node_that_hangs(by_nginx: Front, nodes: Nodes) -> None:
    """By itself nginx would send every second request there and wait for minutes. Where the kernel closes no connection
    for its helper, what is there already waits on."""
    found = left_in_time(by_nginx, nodes, hung)
    assert found.outcome.later == 0, found
    if "closed: " in by_nginx.log.with_name("check.log").read_text():
        assert found.outcome.gap <= 2.5, found
        assert found.page_seconds <= 3.0, found


def test_haproxy_leaves_a_node_that_is_killed(by_haproxy: Front, nodes: Nodes) -> None:
    """Half of all requests would fail until somebody takes it out. What changes nothing goes to the other node, but for
    one that is on its way in the very moment when the node is taken out."""
    found = left_in_time(by_haproxy, nodes, killed)
    assert found.outcome.later == 0, found
    assert sum(count for error, count in found.outcome.errors.items() if error.startswith("GET")) <= 1, found
    assert found.outcome.gap <= 2.0, found
    assert found.page_seconds <= 3.0, found


def test_nobody_notices_that_a_node_is_stopped(by_patient_haproxy: Front, nodes: Nodes) -> None:
    """As systemd stops it: an upgrade of one node after the other would cost requests each time."""
    found = noticed(by_patient_haproxy, nodes, drained)
    assert found.outcome.errors == {}, found
    assert found.outcome.gap <= 1.0, found
    assert nodes["b"].process.wait(1) == EXIT_CODE
