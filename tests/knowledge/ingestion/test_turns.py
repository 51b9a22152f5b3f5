"""Whose turn it is, which files may be parsed at once, how many chunks may wait: the rules, without the pipeline."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from services.knowledge.ingestion import lanes
from services.knowledge.ingestion.backlog import FLOW_CHUNKS, FLOW_LARGE, Backlog
from services.knowledge.ingestion.lanes import MOST_FILES, MOST_LARGE, Lane, Places
from services.knowledge.ingestion.turns import Flow, FlowTurns

ANN, ANN_TOO, BOB = Flow("ann", "1"), Flow("ann", "2"), Flow("bob", "1")


def served(turns: FlowTurns, flows: list[Flow], cost: dict[Flow, float], rounds: int) -> Counter[Flow]:
    counts: Counter[Flow] = Counter()
    for _round in range(rounds):
        flow = turns.next(flows)
        turns.charge(flow, cost[flow])
        counts[flow] += 1
    return counts


def test_people_share_equally_however_much_they_hand_in() -> None:
    """Somebody with two batches would get twice as much as somebody with one."""
    counts = served(FlowTurns(), [ANN, ANN_TOO, BOB], dict.fromkeys([ANN, ANN_TOO, BOB], 1.0), 400)
    assert counts == {ANN: 100, ANN_TOO: 100, BOB: 200}


def test_whoever_uses_more_has_fewer_turns() -> None:
    """Files that take a hundred times as long would take nearly all of the time."""
    counts = served(FlowTurns(), [ANN, BOB], {ANN: 10.0, BOB: 0.1}, 1010)
    assert counts[ANN] == pytest.approx(10, abs=1)


def test_whoever_comes_anew_is_next_and_saves_nothing_up() -> None:
    """A newcomer would wait for all who were there, or overtake them for as long as they have been at work."""
    turns = FlowTurns()
    served(turns, [ANN], {ANN: 1.0}, 1000)
    assert turns.next([ANN, BOB]) == BOB
    counts = served(turns, [ANN, BOB], {ANN: 1.0, BOB: 1.0}, 20)
    assert abs(counts[ANN] - counts[BOB]) <= 1


def test_a_quick_file_finds_a_place_beside_large_ones() -> None:
    """Large files would take all places, or one large file be kept waiting by quick ones for ever."""
    places = Places()
    large = [places.enter(ANN, Lane.LARGE) for _number in range(MOST_LARGE)]
    assert places.free_lanes(low_memory=False) == {Lane.QUICK}
    places.leave(large[0])
    quick = places.enter(BOB, Lane.QUICK)
    assert Lane.LARGE in places.free_lanes(low_memory=False)
    assert places.free_lanes(low_memory=True) == frozenset()
    places.leave(large[1])
    assert places.free_lanes(low_memory=True) == {Lane.LARGE, Lane.BEHIND}
    places.leave(quick)
    behind = places.enter(BOB, Lane.BEHIND)
    assert places.free_lanes(low_memory=False) == {Lane.QUICK, Lane.LARGE}
    places.leave(behind)


def test_slow_files_that_passed_for_quick_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files that hang would keep everybody waiting up to their time limits."""
    places = Places()
    taken = [places.enter(ANN, Lane.QUICK) for _number in range(MOST_FILES)]
    assert [places.makes_way_for(place) for place in taken] == [None] * MOST_FILES
    monkeypatch.setattr(lanes, "QUICK_SECONDS", 0.0)
    assert [places.makes_way_for(place) for place in taken] == [Lane.QUICK, *[None] * (MOST_FILES - 1)]
    places.leave(taken.pop())
    assert [places.makes_way_for(place) for place in taken] == [None] * (MOST_FILES - 1)


def test_one_person_does_not_keep_all_places_of_large_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files that hang would keep another person's large file waiting up to their time limits."""
    places = Places()
    first, second = places.enter(ANN, Lane.LARGE), places.enter(ANN_TOO, Lane.LARGE)
    assert places.makes_way_for(second) is None
    monkeypatch.setattr(lanes, "LARGE_SECONDS", 0.0)
    assert [places.makes_way_for(place) for place in (first, second)] == [None, Lane.LARGE]
    places.leave(first)
    places.enter(BOB, Lane.LARGE)
    assert places.makes_way_for(second) is None


@dataclass
class Parsed:
    flow: Flow
    lane: Lane
    remaining: int


def test_the_backlog_of_one_keeps_no_other_waiting() -> None:
    """A thousand files of one person, or a few huge ones, would fill the place in which chunks wait."""
    many = [Parsed(ANN, Lane.QUICK, 5) for _number in range(FLOW_CHUNKS // 5 + 1)]
    huge = [Parsed(ANN, Lane.LARGE, 50_000) for _number in range(FLOW_LARGE)]
    backlog = Backlog([*many, *huge], low_memory=False)
    assert not backlog.admits(ANN, Lane.QUICK)
    assert not backlog.admits(ANN, Lane.LARGE)
    for flow in (ANN_TOO, BOB):
        assert backlog.admits(flow, Lane.QUICK)
        assert backlog.admits(flow, Lane.LARGE)
    assert Backlog(huge, low_memory=False).admits(ANN, Lane.QUICK)
    everybody = [Parsed(Flow(f"person {number}", ""), Lane.QUICK, 300) for number in range(20)]
    assert not Backlog(everybody, low_memory=False).admits(BOB, Lane.QUICK)
