"""What is said of Python's collector, held against the one that runs here."""

from __future__ import annotations

import pytest

from services.memory.gc.explain import (
    Scheme,
    current_rules,
    explain,
    explain_full_collections,
    explain_threshold2,
    rules_for,
)
from services.memory.gc.types import GCSettings, GCState
from tests.memory.gc.child import run

BEFORE, INCREMENTAL = (3, 13, 1), (3, 14, 2)


@pytest.mark.parametrize(
    ("version", "defaults", "scheme"),
    [
        ((3, 11, 7), (700, 10, 10), Scheme.GENERATIONS),
        ((3, 12, 9), (700, 10, 10), Scheme.GENERATIONS),
        ((3, 13, 0), (2000, 10, 10), Scheme.GENERATIONS),
        ((3, 14, 0), (2000, 10, 0), Scheme.INCREMENTAL),
        ((3, 14, 4), (2000, 10, 0), Scheme.INCREMENTAL),
        ((3, 14, 5), (2000, 10, 10), Scheme.GENERATIONS),
    ],
)
def test_each_python_has_its_own_rules(
    version: tuple[int, int, int], defaults: tuple[int, int, int], scheme: Scheme
) -> None:
    """Fails when the page names defaults, or an incremental collector, that this Python does not have."""
    rules = rules_for(version)
    assert rules.defaults == defaults
    assert rules.scheme is scheme


def test_the_defaults_are_those_of_this_python() -> None:
    """Fails with a Python whose defaults are others than what we say."""
    result = run("scenarios:defaults")
    assert result["found"] == result["explained"]


def test_the_counters_ask_for_a_full_collection_when_we_say() -> None:
    """Fails when the thresholds mean something else than what is explained."""
    result = run("scenarios:counters_to_full")
    assert result["allocated"] == pytest.approx(result["explained"], rel=0.02)


@pytest.mark.skipif(not current_rules().gated, reason="this Python has no gate")
def test_the_gate_counts_what_grew_old() -> None:
    """Fails when the two numbers of the gate are read from a wrong place."""
    result = run("scenarios:gate_counts")
    total, pending = result["first"]
    assert total == pytest.approx(result["objects"], rel=0.01)
    assert pending < 1000
    assert (
        result["second"][1] >= result["nodes"] * 0.9 or result["second"][0] > total
    )  # a full one may have come between
    assert result["third"][0] >= result["nodes"]
    assert result["third"][1] == 0


def test_a_closed_gate_is_said_to_decide() -> None:
    """Fails when somebody with a big heap is told that a lower threshold 2 brings more full collections."""
    big = _state(long_lived=4_000_000, pending=500)
    assert "The gate decides here" in explain_threshold2(big, rules_for(BEFORE))
    assert "500 of the 1,000,000" in explain_full_collections(big, rules_for(BEFORE))
    small = _state(long_lived=40_000, pending=20_000)
    assert "may come earlier" in explain_threshold2(small, rules_for(BEFORE))
    assert "only the counters decide" in explain_full_collections(small, rules_for(BEFORE))


def test_incremental_and_off_are_explained_as_such() -> None:
    """Fails when the explanation speaks of generations, or of a next collection, where there are none."""
    assert "not used" in explain_threshold2(_state(), rules_for(INCREMENTAL))
    assert "part by part" in explain_full_collections(_state(), rules_for(INCREMENTAL))
    off = _state(GCSettings((0, 10, 10)))
    assert "off" in explain_full_collections(off, rules_for(BEFORE))
    assert any("threshold 0 of 0" in part.text for part in explain(off))
    for rules in (rules_for(BEFORE), rules_for(INCREMENTAL), rules_for(BEFORE, free_threaded=True)):
        assert all(part.title and part.text for part in explain(_state(frozen=77), rules))


def test_what_is_frozen_is_said_to_be_hidden() -> None:
    """Fails when histograms go blind and nobody says why."""
    assert any("77 objects are frozen now" in part.text for part in explain(_state(frozen=77)))


def _state(
    settings: GCSettings | None = None,
    *,
    long_lived: int | None = None,
    pending: int | None = None,
    frozen: int = 0,
) -> GCState:
    return GCState(
        settings=settings or GCSettings((700, 10, 10)),
        kept=None,
        defaults=(700, 10, 10),
        counts=(0, 0, 0),
        collections=(0, 0, 0),
        frozen=frozen,
        uncollectable=0,
        tracked=0,
        pending=pending,
        long_lived=long_lived,
    )
