"""Faults of a node behind a front, each with what clients and pages noticed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.deploy.tools import DEPLOY
from tests.front.asking import Asking
from tests.front.fronts import Front
from tests.front.nodes import Nodes
from tests.front.outcomes import GRACE_SECONDS, Outcome
from tests.front.pages import opened_page
from tests.servers import ROOT, environment, eventually

WARM_REQUESTS = 30
_LATER_SECONDS = GRACE_SECONDS + 1.0
_FAULTY = "b"
_DRAIN_SECONDS = 120.0


@dataclass(frozen=True)
class Noticed:
    """What came of the requests, and how long a page was without a node; infinite: it had not noticed in time."""

    outcome: Outcome
    page_seconds: float


def killed(nodes: Nodes, name: str) -> None:
    nodes.kill(name)


def hung(nodes: Nodes, name: str) -> None:
    nodes.hold(name)


def drained(nodes: Nodes, name: str) -> None:
    """Stop a node as systemd does; returns when it has ended."""
    server = nodes[name]
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "drain_node.py"), "--pid", str(server.process.pid)],
        env=environment(**nodes.place(name)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_DRAIN_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "drained"), done.stderr
    server.process.wait(_DRAIN_SECONDS)


def noticed(front: Front, nodes: Nodes, fault: Callable[[Nodes, str], None], *, page_patience: float = 10.0) -> Noticed:
    """Have clients ask and a page open on node b while that one has a fault; it is over when `nodes.up` is called."""
    page = opened_page(front, _FAULTY)
    try:
        with Asking(front) as asking:
            eventually(lambda: min(asking.nodes()["a"], asking.nodes()["b"]) >= WARM_REQUESTS, what="answers of both")
            began = time.monotonic()
            fault(nodes, _FAULTY)
            page_seconds = float("inf")
            if page.wait_until_lost(page_patience):
                page.open_again(page_patience)
                page_seconds = time.monotonic() - began
                assert page.node == "a"
            eventually(lambda: time.monotonic() > began + _LATER_SECONDS, what="the time after it")
            nodes.let_go(_FAULTY)  # whoever waits there still is answered now
        return Noticed(asking.outcome(began), page_seconds)
    finally:
        page.close()
