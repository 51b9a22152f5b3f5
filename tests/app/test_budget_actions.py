from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.app.budget_actions import budget_actions
from services.app.build_budget import watermarks
from services.core.actor import SERVICE, Actor
from services.core.admission import Admission, Gate
from services.core.database import Database
from services.core.errors import ConflictError, StorageError
from services.core.events import NullEventSink
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.memory.budget.governor import Governor
from services.memory.budget.types import Budget, BudgetAction, BudgetLevel, LimitSource
from services.memory.clock import Clock
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.reclaimers import Reclaimer, Reclaimers


class Parts:
    """What the actions act on: real but for the collector, the queue and the restarts, which record calls."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'steps.db'}")
        self.database.create_tables()
        self.settings = Settings(data_dir=folder, memory_limit_mb=1000)
        self.clock = Clock()
        self.admission = Admission()
        self.preferences = Preferences(self.database)
        self.reclaimers = Reclaimers(self.clock, LedgerBuilder(self.clock), NullEventSink())
        self.queue = 0
        self.rss = 990
        self.floor = 300
        self.refusal = ""
        self.requested: list[tuple[Actor, str]] = []
        self.governor = Governor(
            self.clock,
            lambda: Budget(1000 * MEGABYTE, LimitSource.CONFIGURED, watermarks(self.settings)),
            NullEventSink(),
            rss=lambda: self.rss * MEGABYTE,
            floor=lambda: self.floor * MEGABYTE,
        )

    def actions(self) -> Sequence[BudgetAction]:
        def request(actor: Actor, reason: str) -> None:
            if self.refusal:
                raise ConflictError(self.refusal)
            self.requested.append((actor, reason))

        collector: Any = SimpleNamespace(collect_unrecorded=lambda _g: SimpleNamespace(found=7))
        ingestion: Any = SimpleNamespace(job_store=SimpleNamespace(unfinished=lambda: self.queue), wake=lambda: None)
        restarts: Any = SimpleNamespace(refusal=lambda: self.refusal, request=request)
        return budget_actions(
            self.settings,
            self.clock,
            self.preferences,
            self.admission,
            collector,
            self.reclaimers,
            ingestion,
            self.governor,
            restarts,
        )

    def step(self, name: str) -> BudgetAction:
        return next(step for step in self.actions() if step.name == name)

    def offer(self, name: str, size: int | None, release: Callable[[], str] = lambda: "released") -> None:
        self.reclaimers.add(Reclaimer(name, f"The {name}", "", lambda: size, release))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    parts = Parts(tmp_path)
    parts.governor.check()
    return parts


def test_they_come_in_the_order_of_what_they_cost(parts: Parts) -> None:
    """Uploads would be refused, or conversations go, before the caches."""
    found = parts.actions()
    assert [step.name for step in found] == [
        "collect",
        "caches",
        "sessions",
        "slow_ingestion",
        "models",
        "refuse",
        "restart",
    ]
    assert [step.level for step in found] == sorted(step.level for step in found)
    assert all(step.label and step.explanation for step in found)


def test_only_what_is_worth_it_is_released(parts: Parts) -> None:
    """Caches would be emptied for the sake of some kilobytes."""
    step = parts.step("caches")
    assert "nothing to release" in step.skip_reason()
    parts.offer("answer_cache", 5000)
    assert "less than 1 MB" in step.skip_reason()
    assert step.estimate() == 5000
    parts.offer("embedding_cache", 3 * MEGABYTE)
    assert step.skip_reason() == ""
    parts.offer("windows", 50 * MEGABYTE)
    assert step.estimate() == 3 * MEGABYTE + 5000
    assert step.run() == "The embedding_cache: released; The answer_cache: released"


def test_what_cannot_be_released_does_not_keep_the_rest(parts: Parts) -> None:
    """One cache in trouble would protect all others."""

    def broken() -> str:
        raise StorageError("The disk is full.")

    parts.offer("embedding_cache", MEGABYTE, broken)
    parts.offer("answer_cache", None)
    assert parts.step("caches").run() == "The embedding_cache: The disk is full.; The answer_cache: released"


def test_collecting_is_not_repeated_for_nothing(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each minute the process would stand still for a collection that gives nothing back."""
    rss = [500 * MEGABYTE]
    monkeypatch.setattr("services.app.budget_actions.rss_bytes", lambda: rss[0])
    step = parts.step("collect")
    assert step.skip_reason() == ""
    assert "7 objects" in step.run()
    assert "nothing back last time" in step.skip_reason()
    rss[0] += 20 * MEGABYTE
    assert step.skip_reason() == ""


def test_ingestion_is_slowed_down_and_comes_back(parts: Parts) -> None:
    """It would be slow for ever, or slowed down although nothing is being taken in."""
    step = parts.step("slow_ingestion")
    assert step.skip_reason()
    parts.queue = 3
    assert step.skip_reason() == ""
    step.run()
    assert parts.admission.low_memory
    assert parts.admission.pause_seconds > 0
    assert step.undo is not None
    step.undo()
    assert parts.admission.pause_seconds == 0


def test_doors_close_with_a_reason_and_open_for_the_budget_alone(parts: Parts) -> None:
    """A refusal without a reason explains nothing; a restart's closed door would open with the budget's."""
    step = parts.step("refuse")
    step.run()
    closed = parts.admission.closed()
    assert set(closed) == {Gate.UPLOADS, Gate.LONG_QUESTIONS}
    assert "no new files" in closed[Gate.UPLOADS].reason
    assert "Nothing was stored" in closed[Gate.UPLOADS].hint
    parts.admission.close(Gate.UPLOADS, "restart", "restarting", "")
    assert step.undo is not None
    step.undo()
    assert set(parts.admission.closed()) == {Gate.UPLOADS}


def test_what_a_person_closes_is_said_to_be_closed_by_a_person(parts: Parts) -> None:
    """People would be told that memory is short, and look for a leak; undone, both the gate and the pause are open."""
    step, slow = parts.step("refuse"), parts.step("slow_ingestion")
    assert step.run_for is not None
    assert slow.run_for is not None
    outcome = step.run_for("local")
    closed = parts.admission.closed()[Gate.UPLOADS]
    assert "somebody on the budget page" in outcome
    assert closed.reason.startswith("Somebody on the budget page has stopped new files since ")
    assert "memory is not the reason" in closed.reason
    assert (closed.by, closed.person) == ("person", "somebody on the budget page")
    assert closed.since is not None
    slow.run_for("Ada")
    assert parts.admission.pause_wanted_by == "Ada"
    assert step.undo is not None
    assert slow.undo is not None
    step.undo()
    slow.undo()
    assert (parts.admission.closed(), parts.admission.pause_wanted_by) == ({}, "")


def test_a_restart_is_asked_for_where_it_helps_and_not_again_soon(parts: Parts) -> None:
    """A process that leaks would restart without end, also across restarts."""
    step = parts.step("restart")
    assert step.level is BudgetLevel.HARD
    assert step.patience > 0
    assert step.skip_reason() == ""
    step.run()
    assert [actor for actor, _reason in parts.requested] == [SERVICE]
    assert "asked for a restart 0 min ago" in step.skip_reason()
    assert "asked for a restart 0 min ago" in parts.step("restart").skip_reason()  # another process


def test_a_restart_that_would_not_help_is_passed_over(parts: Parts) -> None:
    """A limit under what merely running takes would be answered by one restart after the other."""
    parts.refusal = "Nothing would start Millpond again."
    assert parts.step("restart").skip_reason() == parts.refusal
    with pytest.raises(ConflictError):
        parts.step("restart").run()
    parts.refusal = ""
    assert parts.step("restart").skip_reason() == ""  # a request that was refused is none
    parts.floor = 960
    parts.governor = Governor(
        parts.clock, parts.governor.budget, NullEventSink(), rss=lambda: 990 * MEGABYTE, floor=lambda: 960 * MEGABYTE
    )
    parts.governor.check()
    assert "960 MB when it has just started" in parts.step("restart").skip_reason()


def test_a_restart_is_no_help_against_others(parts: Parts) -> None:
    """Millpond would restart because a neighbour in its container is large."""
    parts.governor = Governor(
        parts.clock,
        parts.governor.budget,
        NullEventSink(),
        rss=lambda: 350 * MEGABYTE,
        used=lambda rss: rss + 600 * MEGABYTE,
        floor=lambda: 300 * MEGABYTE,
    )
    parts.governor.check()
    assert "others in the container" in parts.step("restart").skip_reason()
