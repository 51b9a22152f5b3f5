"""Draining a node: a front sends it nothing new; the last one that is ready stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.core.actor import Actor, Role
from services.core.errors import ConflictError, ForbiddenError
from services.nodes.types import NodeState
from tests.nodes.joined import JoinedNode, two_joined

ADMIN = Actor("ada", Role.ADMIN)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[JoinedNode, JoinedNode]]:
    with two_joined(tmp_path) as (one, two):
        for node in (one, two):
            ready(node)
        yield one, two


def ready(node: JoinedNode) -> None:
    node.nodes.set_state(NodeState.READY)
    node.say(NodeState.READY)


def state(node: JoinedNode) -> NodeState:
    """As the others see it."""
    return node.nodes.one(node.nodes.membership.number).state


def test_a_drained_node_says_so_until_it_is_resumed(pair: tuple[JoinedNode, JoinedNode]) -> None:
    """Other nodes would restart by plan meanwhile, or a node would stay out for good."""
    one, two = pair
    two.nodes.drain(ADMIN)
    two.nodes.drain(ADMIN)  # it is already
    assert two.nodes.drained_by == "ada"
    assert state(two) is NodeState.DRAINING
    assert state(one) is NodeState.READY
    two.nodes.resume(ADMIN)
    ready(two)
    assert two.nodes.drained_by == ""
    one.nodes.drain(ADMIN)
    assert state(one) is NodeState.DRAINING


def test_the_last_one_that_is_ready_stays(pair: tuple[JoinedNode, JoinedNode]) -> None:
    """Nobody would be served any more, by a click that was meant for the other node."""
    one, two = pair
    two.nodes.drain(ADMIN)
    with pytest.raises(ConflictError, match="No other node is ready"):
        one.nodes.drain(ADMIN)
    assert one.nodes.drained_by == ""
    assert state(one) is NodeState.READY
    two.nodes.resume(ADMIN)
    two.say(NodeState.STARTING)
    with pytest.raises(ConflictError, match="No other node is ready"):
        one.nodes.drain(ADMIN)
    one.take_over(two)
    with pytest.raises(ConflictError, match="No other node is ready"):
        one.nodes.drain(ADMIN)


def test_of_two_at_the_same_moment_one_stays(pair: tuple[JoinedNode, JoinedNode]) -> None:
    """Each would see that the other one is ready."""
    for _turn in range(5):
        gate = threading.Barrier(2)

        def drain(node: JoinedNode, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            try:
                node.nodes.drain(ADMIN)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(drain, pair)).count(True) == 1
        for node in pair:
            node.nodes.resume(ADMIN)
            ready(node)


def test_who_may_not_operate_drains_nothing(pair: tuple[JoinedNode, JoinedNode]) -> None:
    """Anybody with an account could send everybody away from a node."""
    one, _two = pair
    for act in (one.nodes.drain, one.nodes.resume):
        with pytest.raises(ForbiddenError):
            act(Actor("uma", Role.USER, person_id=3))
    assert state(one) is NodeState.READY


@pytest.mark.parametrize("before", [NodeState.STARTING, NodeState.DRAINING])
def test_a_node_that_is_not_ready_is_not_drained(pair: tuple[JoinedNode, JoinedNode], before: NodeState) -> None:
    """When it is resumed it would call itself ready before it has loaded its index, or while it ends."""
    one, _two = pair
    one.nodes.set_state(before)
    with pytest.raises(ConflictError, match="starting or restarting"):
        one.nodes.drain(ADMIN)
    assert one.nodes.drained_by == ""
