from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from services.core.actor import SERVICE
from services.core.errors import CancelledError
from services.core.requests import Outcome, RequestKind, RequestLimits, RequestRegistry
from services.core.requests.registry import acting_for
from services.memory import fork_permit
from services.memory.fork_snapshot import run_in_fork
from tests.servers import eventually


@pytest.fixture
def scopes(monkeypatch: pytest.MonkeyPatch) -> Iterator[RequestRegistry]:
    """One diagnostic at a time, as the settings have it."""
    monkeypatch.setattr(fork_permit, "_registry", None)
    scopes = RequestRegistry({kind: RequestLimits(2, 1, 4, 60.0) for kind in RequestKind})
    fork_permit.set_request_registry(scopes)
    yield scopes
    assert scopes.running() == []


def start_diagnostic(outcome: list[BaseException], user: str) -> threading.Thread:
    def run() -> None:
        try:
            with acting_for(user):
                run_in_fork(lambda: time.sleep(60), seconds=60, what="a long diagnostic")
        except CancelledError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_a_diagnostic_is_seen_waits_its_turn_and_can_be_cancelled(scopes: RequestRegistry) -> None:
    """The child of a cancelled diagnostic ends at once; the next one gets its turn, cancelled while it waits."""
    before = children()
    outcome: list[BaseException] = []
    first = start_diagnostic(outcome, "ann")
    eventually(lambda: children() > before, seconds=20, what="the child")
    second = start_diagnostic(outcome, "bob")
    eventually(lambda: [one.position for one in scopes.running()] == [0, 1], seconds=20, what="the queue")
    running, waiting = scopes.running()
    assert (running.user, waiting.user, running.detail) == ("ann", "bob", "a long diagnostic")
    assert scopes.cancel(SERVICE, waiting.id)
    second.join(20)
    assert not second.is_alive()
    assert scopes.cancel(SERVICE, running.id)
    first.join(20)
    assert not first.is_alive()
    assert len(outcome) == 2
    assert children() == before
    assert {one.outcome for one in scopes.recent()} == {Outcome.CANCELLED}


def test_a_diagnostic_that_ends_is_recorded(scopes: RequestRegistry) -> None:
    """With whose it was, and its result is returned."""
    assert run_in_fork(lambda: 7, seconds=60, what="a short diagnostic").value == 7
    assert [(one.detail, one.outcome) for one in scopes.recent()] == [("a short diagnostic", Outcome.DONE)]
