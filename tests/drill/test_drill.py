"""A short form of the drill: one node is killed while clients work. And the checker finds what a pond has lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drill.checker import faults_of
from tests.drill.clients import Clients
from tests.drill.drill import run
from tests.drill.faults import FAULTS
from tests.drill.history import History
from tests.drill.stage import stage
from tests.front.outcomes import Attempt


@pytest.mark.timeout(600)
def test_a_killed_node_loses_nothing(tmp_path: Path) -> None:
    """What was acknowledged is there once at both nodes; and what was not, would be found."""
    with stage(tmp_path) as place:
        with Clients(place.pond.front, place.pond.nodes.addresses, place.token) as clients:
            (noticed,) = run(place, clients, FAULTS[:1], print)
        history = clients.history
        assert faults_of(history, place.pond.nodes.addresses, place.token) == []
        assert noticed.outcome.later == 0, noticed.outcome.errors
        assert history.sessions
        history.added["nowhere"] = 1
        lost = {f"{name}: nowhere was acknowledged and is lost" for name in place.pond.nodes.addresses}
        assert lost <= set(faults_of(history, place.pond.nodes.addresses, place.token))


def test_what_a_fault_did_is_counted() -> None:
    """Failures by when they began; a gap is a client's, not that between two clients."""
    history = History()
    for client, began, ended, error, excused in (
        ("one", 8.0, 9.5, "", False),
        ("one", 9.5, 10.5, "ReadError", False),
        ("one", 11.0, 11.2, "502", False),
        ("two", 12.5, 12.6, "503", True),
        ("two", 13.0, 13.1, "ReadTimeout", False),
        ("one", 14.0, 14.5, "", False),
        ("two", 14.0, 14.2, "", False),
    ):
        history.record(Attempt(client, "search", began, ended, error, excused=excused))
    outcome = history.outcome(10.0, 20.0)
    assert (outcome.in_flight, outcome.soon, outcome.later, outcome.excused) == (1, 1, 1, 1)
    assert outcome.gap == pytest.approx(5.0)
