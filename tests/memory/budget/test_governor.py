from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.actor import SERVICE, Actor, Role
from services.core.errors import ConflictError, ForbiddenError, NotFoundError
from services.core.events import EventKind
from services.core.machine import MEGABYTE
from services.memory.budget.action_state import SKIP_SECONDS
from services.memory.budget.governor import Governor
from services.memory.budget.journal import MAX_DECISIONS, decision_from_event
from services.memory.budget.types import BudgetAction, BudgetLevel, DecisionKind
from tests.memory.budget.machine import COOL_DOWN, SUSTAINED, Machine

ALL = ["once_soft", "keep_soft", "once_high", "keep_high", "once_hard", "keep_hard"]
ADMIN = Actor("Ann", Role.ADMIN)
USER = Actor("Uwe", Role.USER)

paths = st.lists(
    st.tuples(st.integers(300, 1100), st.sampled_from([0.25, 1.0, 3.0, 7.0, 20.0])), min_size=1, max_size=12
)


def test_steps_come_in_their_order_and_one_after_the_other() -> None:
    """Conversations would go before caches, or all at once although the first action was enough."""
    machine = Machine()
    machine.run(6, 720)
    assert machine.done == ["once_soft"]
    machine.run(5)
    assert machine.done == ["once_soft", "keep_soft"]
    machine.run(40)
    assert machine.done == ["once_soft", "keep_soft"]


def test_a_step_that_was_enough_is_the_last() -> None:
    """Everything would be taken away although the collection alone had solved it."""
    machine = Machine()
    machine.effects["once_soft"] = 100
    machine.run(60, 720)
    assert machine.done == ["once_soft"]
    assert machine.level is BudgetLevel.CALM
    (taken,) = machine.decided(DecisionKind.TAKEN)
    assert (taken.rss_before, taken.rss_after, taken.freed) == tuple(n * MEGABYTE for n in (720, 620, 100))
    assert "720 MB used, 20 MB over the soft watermark of 700 MB" in taken.evidence


def test_over_the_hard_watermark_nobody_waits() -> None:
    """Gates that close only after the effect of every action was awaited close too late for a burst."""
    machine = Machine()
    machine.run(1)
    machine.run(2, 950)
    assert machine.done == ALL


def test_a_jump_does_not_wait_for_the_effect_of_a_gentle_step() -> None:
    """What soft did a second ago would hold up what hard has to do."""
    machine = Machine()
    machine.run(5.5, 720)
    assert machine.done == ["once_soft"]
    machine.run(2, 950)
    assert machine.done == ALL


def test_it_goes_back_in_the_other_order() -> None:
    """Ingestion would run at full speed again while uploads are still refused."""
    machine = Machine()
    machine.run(3, 950)
    assert machine.in_force == ["keep_soft", "keep_high", "keep_hard"]
    machine.run(20, 820)
    assert machine.in_force == ["keep_soft", "keep_high"]
    machine.run(60, 500)
    assert machine.in_force == []
    assert machine.done[-3:] == ["-keep_hard", "-keep_high", "-keep_soft"]
    assert machine.governor.state().active == ()
    assert all("used, under the" in each.evidence for each in machine.decided(DecisionKind.UNDONE))


def test_one_time_steps_are_repeated_after_their_cool_down_while_the_level_lasts() -> None:
    """Collecting without end would cost more than it gives; never again would leave the memory to fill up."""
    machine = Machine()
    machine.effects["once_soft"] = 10
    machine.run(5 + 3 * COOL_DOWN, 760)
    assert machine.done.count("once_soft") == 3
    machine.run(2 * COOL_DOWN, 500)
    assert machine.done.count("once_soft") == 3


def test_what_gave_nothing_back_is_repeated_more_and_more_seldom_until_memory_gets_shorter() -> None:
    """RSS at rest over a watermark would be collected each minute, for nothing, for as long as the process lives."""
    machine = Machine()
    machine.run(5 + 14 * COOL_DOWN, 720)
    assert machine.done.count("once_soft") == 3  # after 0, 2 and 6 cool-downs
    machine.run(SUSTAINED, 820)
    assert machine.done.count("once_soft") == 4


def test_what_would_not_help_is_passed_over_and_said_once() -> None:
    """An action that costs something for nothing; or an event each second that says so."""
    machine = Machine()
    machine.pointless["once_soft"] = "there is nothing to release"
    machine.run(40, 720)
    assert machine.done == ["keep_soft"]
    (passed,) = machine.decided(DecisionKind.PASSED_OVER)
    assert (passed.step, passed.outcome) == ("once_soft", "there is nothing to release")
    del machine.pointless["once_soft"]
    machine.run(SKIP_SECONDS + 1)
    assert machine.done == ["keep_soft", "once_soft"]


def test_a_step_that_fails_does_not_stop_the_others() -> None:
    """One defect would end the budget."""
    machine = Machine()
    machine.broken.update({"once_soft", "keep_high"})
    machine.run(3, 950)
    assert machine.done == ["keep_soft", "once_high", "once_hard", "keep_hard"]
    assert [each.step for each in machine.decided(DecisionKind.FAILED)] == ["once_soft", "keep_high"]
    machine.run(50)
    assert len(machine.decided(DecisionKind.FAILED)) == 2
    machine.broken.clear()
    machine.run(COOL_DOWN)
    assert {"once_soft", "keep_high"} <= set(machine.done)


def test_what_cannot_be_undone_keeps_nothing_else_in_force() -> None:
    """An action whose undo fails would keep the gates closed for ever."""
    machine = Machine(actions=False)
    for name in ("first", "second"):
        machine.governor.add_action(machine.action(name, BudgetLevel.SOFT, undoable=True))
    machine.run(15, 720)
    machine.broken.add("second")
    machine.in_force.remove("second")
    machine.run(30, 500)
    assert "-first" in machine.done
    assert machine.governor.state().active == ("second",)
    machine.broken.clear()
    machine.in_force.append("second")
    machine.run(COOL_DOWN)
    assert machine.governor.state().active == ()


def test_patience_is_counted_from_when_the_level_was_reached() -> None:
    """A restart would come before the actions before it had any time to help."""
    machine = Machine(actions=False)
    machine.governor.add_action(machine.action("restart", BudgetLevel.HARD, patience=30.0))
    machine.run(25, 950)
    machine.run(10, 300)
    machine.run(25, 950)
    assert machine.done == []
    machine.run(10)
    assert machine.done == ["restart"]


def test_a_dry_run_only_says_what_it_would_do() -> None:
    """Whoever tries the budget out would lose caches and conversations by it."""
    machine = Machine(dry_run=True)
    machine.run(30, 950)
    machine.run(60, 300)
    assert machine.done == []
    assert [each.step for each in machine.decided(DecisionKind.TAKEN)] == ALL
    undone = [each.step for each in machine.decided(DecisionKind.UNDONE)]
    assert undone == ["keep_hard", "keep_high", "keep_soft"]
    assert all(each.dry_run for each in machine.governor.decisions())
    assert all("would" in each.outcome for each in machine.decided(DecisionKind.TAKEN))


def test_a_pause_ends_what_is_in_force() -> None:
    """Gates that nobody watches any more would stay closed."""
    machine = Machine()
    machine.run(3, 950)
    machine.governor.set_enabled(ADMIN, False)
    assert machine.in_force == []
    machine.run(30)
    assert machine.in_force == []
    assert machine.level is BudgetLevel.CALM
    machine.governor.set_enabled(ADMIN, True)
    machine.run(90)
    assert machine.in_force == ["keep_soft", "keep_high", "keep_hard"]
    assert [each.actor for each in machine.decided(DecisionKind.MODE)] == ["Ann", "Ann"]


def test_switching_to_a_dry_run_undoes_what_was_done() -> None:
    """What the budget really did would stay, with nobody to end it."""
    machine = Machine()
    machine.run(3, 950)
    done = len(machine.done)
    machine.governor.set_dry_run(ADMIN, True)
    assert machine.in_force == []
    machine.run(200)
    assert len(machine.done) == done + 3


def test_what_a_person_takes_stays_until_a_person_ends_it() -> None:
    """The budget would open at once what an administrator has just closed."""
    machine = Machine()
    machine.run(1)
    taken = machine.governor.run_action(ADMIN, "keep_hard")
    assert (taken.actor, taken.kind) == ("Ann", DecisionKind.TAKEN)
    machine.run(60, 950)
    machine.run(90, 300)
    assert machine.in_force == ["keep_hard"]
    with pytest.raises(ConflictError):
        machine.governor.run_action(ADMIN, "keep_hard")
    machine.governor.undo_action(ADMIN, "keep_hard")
    assert machine.in_force == []
    with pytest.raises(ConflictError):
        machine.governor.undo_action(ADMIN, "keep_hard")


def test_what_a_person_ends_is_not_taken_again_at_once() -> None:
    """Undoing would have no effect: the budget would do it again in the same second."""
    machine = Machine()
    machine.run(3, 950)
    undone = machine.governor.undo_all(ADMIN)
    assert [each.step for each in undone] == ["keep_hard", "keep_high", "keep_soft"]
    machine.run(COOL_DOWN - 5)
    assert machine.in_force == []
    machine.run(10)
    assert machine.in_force == ["keep_soft", "keep_high", "keep_hard"]


def test_only_an_administrator_changes_anything() -> None:
    """A user without rights would open the gates."""
    machine = Machine()
    machine.run(3, 950)
    before = list(machine.done)
    for change in (
        lambda: machine.governor.run_action(USER, "once_soft"),
        lambda: machine.governor.undo_action(USER, "keep_hard"),
        lambda: machine.governor.undo_all(USER),
        lambda: machine.governor.set_enabled(USER, False),
        lambda: machine.governor.set_dry_run(USER, True),
    ):
        with pytest.raises(ForbiddenError):
            change()
    with pytest.raises(NotFoundError):
        machine.governor.run_action(ADMIN, "no such action")
    assert machine.done == before
    assert machine.governor.enforcing


def test_what_hangs_is_given_up_waiting_for() -> None:
    """An action that hangs would keep the gates open while the memory fills up."""
    machine = Machine(actions=False)
    hold = threading.Event()
    calls = []

    def hang() -> str:
        calls.append(1)
        hold.wait(20)
        return "done at last"

    machine.governor.add_action(BudgetAction("hangs", BudgetLevel.HARD, "hangs", "", hang, cool_down=1.0, timeout=0.05))
    machine.governor.add_action(machine.action("keep", BudgetLevel.HARD, undoable=True))
    machine.run(10, 950)
    assert machine.in_force == ["keep"]
    assert len(calls) == 1
    (failed,) = machine.decided(DecisionKind.FAILED)
    assert failed.step == "hangs"
    hold.set()


def test_the_floor_over_a_watermark_is_said() -> None:
    """A limit under what the service needs merely to run would be answered with one restart after the other."""
    assert Machine(floor=300).governor.state().warning == ""
    for floor, words in ((960, "soft watermark"), (1010, "hard watermark")):
        machine = Machine(floor=floor)
        machine.run(1)
        assert words in machine.governor.state().warning
        assert f"{floor:,} MB" in machine.governor.state().warning


def test_others_in_the_container_count_and_are_said() -> None:
    """The kernel kills by what the container uses, whoever it is in it."""
    machine = Machine()
    machine.others = 600
    machine.run(3, 350)
    assert machine.level is BudgetLevel.HARD
    state = machine.governor.state()
    assert (state.used_bytes, state.rss_bytes) == (950 * MEGABYTE, 350 * MEGABYTE)
    assert "Other processes in the container use 600 MB" in state.warning
    assert "350 MB of it in this process" in machine.governor.decisions()[0].evidence


def test_decisions_come_back_from_events() -> None:
    """After a restart the page could not tell why there was one."""
    machine = Machine()
    machine.run(3, 950)
    machine.run(60, 300)
    events = [event for event in machine.sink.events if event[1] is EventKind.BUDGET]
    found = [
        decision_from_event(0.0, actor, detail, figures, machine.governor.actions())
        for actor, _kind, detail, figures in events
    ]
    newest = list(reversed(machine.governor.decisions(MAX_DECISIONS)))
    assert len(found) == len(newest)
    for old, new in zip(found, newest, strict=True):
        assert old is not None
        assert (old.kind, old.step, old.level, old.actor) == (new.kind, new.step, new.level, "millpond")
        assert (old.rss_before, old.rss_after, old.undone) == (new.rss_before, new.rss_after, new.undone)
    assert decision_from_event(0.0, "", "something else", {"rss": 1.0}, machine.governor.actions()) is None
    again = Machine()
    again.governor.restore_decisions(each for each in reversed(found) if each is not None)
    assert [each.step for each in again.governor.decisions(3)] == [each.step for each in newest[::-1][:3]]


def test_listeners_hear_each_decision() -> None:
    """An alert would be missing."""
    machine = Machine()
    kinds: list[DecisionKind] = []
    machine.governor.add_listener(lambda decision: kinds.append(decision.kind))
    machine.run(3, 950)
    assert kinds[0] is DecisionKind.LEVEL
    assert kinds.count(DecisionKind.TAKEN) == len(ALL)


def test_before_it_is_ready_nothing_is_done() -> None:
    """While the models are loaded nothing can be released, and the floor is not known."""
    machine = Machine(actions=False)
    ready = threading.Event()
    governor = Governor(
        machine.clock, machine.governor.budget, machine.sink, rss=lambda: machine.rss * MEGABYTE, ready=ready.is_set
    )
    machine.rss = 950
    governor.check()
    assert governor.state().ready_rss_bytes == 0
    machine.rss = 320
    ready.set()
    governor.check()
    assert governor.state().ready_rss_bytes == 320 * MEGABYTE
    assert governor.decisions() == []


@settings(max_examples=30, deadline=None)
@given(path=paths)
def test_whatever_rss_does_order_is_kept_and_it_recovers(path: list[tuple[int, float]]) -> None:
    """Undone before done, done twice, out of order, or never ended: each of them for some course of RSS."""
    machine = Machine()
    for rss, seconds in path:
        machine.run(seconds, rss)
        active = machine.governor.state().active
        assert list(active) == machine.in_force  # `undo` of the machine itself asserts the order
        assert len(set(active)) == len(active)
        for name in active:
            assert machine.done.count(name) == machine.done.count(f"-{name}") + 1
    machine.run(90, 300)
    assert machine.in_force == []
    assert machine.level is BudgetLevel.CALM


@settings(max_examples=20, deadline=None)
@given(path=paths)
def test_a_dry_run_never_acts(path: list[tuple[int, float]]) -> None:
    """For some course of RSS a dry run would do what it only says."""
    machine = Machine(dry_run=True)
    for rss, seconds in path:
        machine.run(seconds, rss)
    machine.governor.undo_all(SERVICE)
    assert machine.done == []


@settings(max_examples=20, deadline=None)
@given(path=paths, broken=st.sets(st.sampled_from(ALL)))
def test_defects_of_steps_never_stop_it(path: list[tuple[int, float]], broken: set[str]) -> None:
    """An action that fails at some moment would end the checks, or be tried without end."""
    machine = Machine()
    machine.broken = broken
    for rss, seconds in path:
        machine.run(seconds, rss)
    elapsed = machine.clock.now - 1_000_000.0
    assert len(machine.decided(DecisionKind.FAILED)) <= len(broken) * (1 + elapsed / COOL_DOWN)
    machine.run(3, 1000)
    machine.run(90, 300)
    assert machine.level is BudgetLevel.CALM
    assert machine.in_force == []
