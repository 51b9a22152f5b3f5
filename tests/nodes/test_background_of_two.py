"""What runs in the background at two nodes: each piece of work at one of them, and each node's events its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.app.build_backups import backup_source, read_key
from services.app.build_nodes import leaving_or_coming
from services.audit.signing import SigningKey
from services.backup.backup_service import Backups
from services.backup.backup_types import BackupStage
from services.core.actor import SERVICE
from services.core.claims import Claims
from services.core.database.change_log import Topic
from services.core.errors import ConflictError, TakenOverError
from services.core.events import EventKind
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.knowledge.ingestion.leftovers import SharedLeftovers
from services.knowledge.retrieval.language_trust import LanguageTrust
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.trust import MeasuredTrust, TrustStore
from services.knowledge.text.kinds import TextKind
from services.nodes.types import NodeState
from services.operations.event_log import EventLog
from services.operations.restarts import RestartPlan, Restarts
from tests.backup.pond import pond_in
from tests.events import RecordingEventSink
from tests.nodes.joined import JoinedNode, two_joined
from tests.servers import eventually


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[JoinedNode, JoinedNode]]:
    with two_joined(tmp_path) as found:
        yield found


class AskedClaims:
    """Claims that tell when they were asked for."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.asked = threading.Event()

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        with self._claims.held(name) as ours:
            self.asked.set()
            yield ours

    def owner(self, name: str) -> str:
        return self._claims.owner(name)


def test_a_claim_is_one_nodes_until_it_ends(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """Two nodes would do the same work at once; a claim that outlives its node would have nobody do it any more."""
    one, two = nodes
    with one.nodes.claims.held("work") as first, two.nodes.claims.held("work") as second:
        assert (first, second) == (True, False)
        assert two.nodes.claims.owner("work") == "one"
    with one.nodes.claims.held("work"):
        two.take_over(one)
        with two.nodes.claims.held("work") as ours:
            assert ours
            with one.nodes.claims.held("other") as silent:
                assert not silent, "a node that was taken over has claimed something"
    assert two.nodes.claims.owner("work") == ""


def test_a_node_joins_again_after_it_was_taken_over(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """A pause of seconds would shut a node out for as long as its process runs."""
    one, two = nodes
    two.take_over(one)
    with pytest.raises(TakenOverError), one.database.write():
        pass
    one.nodes.membership.join()
    with one.database.write():
        pass
    with one.nodes.claims.held("work") as ours:
        assert ours


@contextmanager
def backing_up(folder: Path, claims: Claims, **settings: object) -> Iterator[Backups]:
    with pond_in(folder) as pond:
        given = {"backup_destination": str(pond.destination), "data_dir": pond.settings.data_dir} | settings
        backups = Backups(
            backup_source(pond.settings),
            Settings.model_validate(given),
            SigningKey(pond.settings.effective_audit_key),
            read_key,
            Preferences(pond.database),
            RecordingEventSink(),
            busy=lambda: False,
            claims=claims,
        )
        backups.start_worker()
        try:
            yield backups
        finally:
            backups.close()


def test_one_node_makes_backups(nodes: tuple[JoinedNode, JoinedNode], tmp_path: Path) -> None:
    """Two would write to the same place at once, and remove as left over what the other one is writing."""
    one, two = nodes
    claims = AskedClaims(two.nodes.claims)
    with one.nodes.claims.held("backup"), backing_up(tmp_path / "pond", claims, backup_hours=1) as backups:
        assert claims.asked.wait(60)
        with pytest.raises(ConflictError, match="at the node one"):
            backups.start_backup(SERVICE)
        assert backups.status().stage is BackupStage.IDLE
        assert backups.status().generations == ()
        two.take_over(one)
        eventually(lambda: len(backups.status().generations) == 1, what="the backup of the other node")
    assert two.nodes.claims.owner("backup") == ""


class CountedSweeps:
    """A store of originals that counts how often it is swept."""

    def __init__(self) -> None:
        self.swept = threading.Event()

    def owner(self, pond: str) -> str:
        return pond

    def sweep(self, _known: object) -> int:
        self.swept.set()
        return 0


def test_one_node_sweeps_originals(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """Each would list the whole store at the same time, and delete what the other one has found."""
    one, two = nodes
    claims, files = AskedClaims(two.nodes.claims), CountedSweeps()
    with one.nodes.claims.held("originals sweep"):
        kept_out = SharedLeftovers(cast("Any", files), two.database, claims)
        kept_out.start()
        assert claims.asked.wait(30)
        kept_out.close()
        assert not files.swept.is_set()
    alone = SharedLeftovers(cast("Any", files), two.database, claims)
    alone.start()
    assert files.swept.wait(30)
    alone.close()


def planned(node: JoinedNode, events: RecordingEventSink) -> Restarts:
    """Restarts of which one is due."""
    return Restarts(
        lambda: 10.0,
        events,
        plan=RestartPlan(at=5.0),
        successor=lambda: "somebody",
        claims=node.nodes.claims,
        others_restart=leaving_or_coming(node.nodes),
    )


def test_one_node_at_a_time_restarts_by_plan(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """All nodes would be away at once; one whose turn it is not would say so each second."""
    one, two = nodes
    one.say(NodeState.READY)
    two.say(NodeState.READY)
    first, second = planned(one, RecordingEventSink()), planned(two, waiting := RecordingEventSink())
    first.check()
    assert first.requested is not None
    for _second in range(3):
        second.check()
    assert second.requested is None
    (told,) = waiting.events
    assert told[1] is EventKind.RESTART
    assert "the node one" in told[2]
    first.close()
    one.say(NodeState.DRAINING)
    second.check()
    assert second.requested is None, "the other one is ending"
    one.nodes.close()
    second.check()
    assert second.requested is not None


def test_a_planned_restart_waits_for_a_node_that_starts(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """The node that has just restarted takes no questions yet: there would be none that does."""
    one, two = nodes
    restarts = planned(two, RecordingEventSink())
    restarts.check()
    assert restarts.requested is None
    one.say(NodeState.READY)
    restarts.check()
    assert restarts.requested is not None


def test_each_node_has_its_own_events(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """Two nodes that count alike would lose each other's events, and one that writes much remove those of all."""
    logs = [EventLog(lambda: 5.0, node.database, kept=50) for node in nodes]
    for name, log in zip(("one", "two"), logs, strict=True):
        log.record(EventKind.MODEL, name)
        log.flush()
    assert [[event.detail for event in log.between(0, 10)] for log in logs] == [["one"], ["two"]]
    for number in range(200):
        logs[1].record(EventKind.MODEL, str(number))
    logs[1].flush()
    again = [EventLog(lambda: 5.0, node.database, kept=50) for node in nodes]
    assert [event.detail for event in again[0].between(0, 10)] == ["one"]
    assert [event.detail for event in again[1].between(0, 10)] == [str(number) for number in range(150, 200)]
    again[0].record(EventKind.STOP)
    again[0].flush()
    assert "ended normally" in again[0].last_end()
    assert "ended normally" not in again[1].last_end()


def test_events_of_the_time_before_nodes_are_kept(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """Whoever makes a single server a node would lose its time line."""
    one, two = nodes
    member = one.nodes.membership
    one.database.join(0, 0)  # as a process that is no node
    before = EventLog(lambda: 1.0, one.database)
    one.database.join(member.number, member.epoch)
    before.record(EventKind.MODEL, "before")
    before.flush()
    for node in (one, two):
        log = EventLog(lambda: 5.0, node.database, kept=1)
        for name in ("first", "last"):
            log.record(EventKind.MODEL, name)
        log.flush()
        assert [event.detail for event in log.between(0, 10)] == ["before", "last"]


def test_trust_that_another_node_has_measured_counts(nodes: tuple[JoinedNode, JoinedNode]) -> None:
    """A node would weigh questions by what was measured of a library that is another one by now."""
    one, two = nodes
    encoder: Any = SimpleNamespace(fingerprint="model")
    trusts = [LanguageTrust(node.database, ChunkStore(node.database), encoder) for node in nodes]
    two.nodes.follower.on(Topic.SETTINGS, trusts[1].follow)
    assert trusts[1].report() == {}
    measured = {("LATIN", TextKind.PROSE): MeasuredTrust(0.25, 40)}
    TrustStore(one.database).replace("model", measured)
    two.follow()
    assert trusts[1].report() == measured
