from __future__ import annotations

import gc
import threading
import weakref

import pytest

from services.core.actor import Actor, Role
from services.core.errors import BadInputError, BusyError, CancelledError, ForbiddenError, TimedOutError
from services.core.requests import FinishedRequest, Outcome, RequestKind, RequestLimits, RequestRegistry, RequestScope
from services.core.requests.registry import acting_for
from tests.servers import eventually

ADMIN, ANN = Actor("root", Role.ADMIN), Actor("ann", Role.USER)


def scopes(per_user: int = 9, total: int = 1, waiting: int = 9, seconds: float = 60.0) -> RequestRegistry:
    sizes = iter(range(1_000_000, 2_000_000, 1000))
    return RequestRegistry(
        {kind: RequestLimits(per_user, total, waiting, seconds) for kind in RequestKind}, lambda: next(sizes)
    )


def last(of: RequestRegistry) -> FinishedRequest:
    return of.recent(1)[0]


def test_a_scope_is_seen_while_it_runs_and_after() -> None:
    """Who, what, since when, place and memory; afterwards how it ended and the memory before and after."""
    every = scopes()
    with every.open(RequestKind.SEARCH, "a query", user="ann") as first:
        second = every.open(RequestKind.SEARCH, "another", user="bob")
        seen = every.running()
        assert [(one.id, one.user, one.detail, one.position) for one in seen] == [
            (first.id, "ann", "a query", 0),
            (second.id, "bob", "another", 1),
        ]
        assert seen[0].rss_before is not None
        assert seen[0].deadline is not None
        assert (seen[1].rss_before, seen[1].began, seen[1].deadline) == (None, None, None)
        assert every.counts(RequestKind.SEARCH) == (1, 1)
        assert every.counts(RequestKind.ANSWER) == (0, 0)
    assert second.acquired
    second.close()
    assert every.running() == []
    ended = every.recent()
    assert [one.user for one in ended] == ["bob", "ann"]
    assert all(one.rss_after > one.rss_before for one in ended)
    assert ended[1].outcome is Outcome.DONE


def test_hooks_run_in_reverse_order_once_whatever_happens() -> None:
    """A hook that fails keeps no other from running; the slot is free after the last one."""
    every = scopes()
    called: list[object] = []

    def fail() -> None:
        raise ValueError("a broken hook")

    scope = every.open(RequestKind.DIAGNOSTIC)
    scope.wait()
    scope.on_close(called.append, "first")
    scope.on_close(fail)
    scope.on_close(lambda: called.append(every.counts(RequestKind.DIAGNOSTIC)))
    scope.close(KeyError("the work failed"))
    scope.close()
    assert called == [(1, 0), "first"]
    assert last(every).outcome is Outcome.FAILED
    assert every.counts(RequestKind.DIAGNOSTIC) == (0, 0)


def test_what_is_turned_away_before_it_begins_has_not_failed() -> None:
    """An empty question would stand among the failures of the service."""
    every = scopes()
    for began, outcome in ((False, Outcome.REFUSED), (True, Outcome.FAILED)):
        scope = every.open(RequestKind.ANSWER)
        if began:
            scope.wait()
        scope.close(BadInputError("The question is empty."))
        assert last(every).outcome is outcome


def test_a_dropped_scope_cleans_up() -> None:
    """Whoever just lets go of it, in a cycle too: hooks run, the slot is free, nothing is kept of it."""
    every = scopes()
    called: list[str] = []
    scope: RequestScope | None = every.open(RequestKind.DIAGNOSTIC)
    assert scope is not None
    scope.wait()
    scope.on_close(called.append, "released")
    gone = weakref.ref(scope)
    cycle: list[object] = [scope]
    cycle.append(cycle)
    scope = None
    del cycle
    gc.collect()
    assert gone() is None
    assert called == ["released"]
    assert (every.running(), every.counts(RequestKind.DIAGNOSTIC)) == ([], (0, 0))
    assert last(every).outcome is Outcome.DROPPED


def test_a_hook_lets_heavy_objects_go() -> None:
    """What a scope was given to release is garbage when it has ended."""

    class Heavy:
        def close(self) -> None:
            self.closed = True

    every = scopes()
    heavy = Heavy()
    gone = weakref.ref(heavy)
    with every.open(RequestKind.DIAGNOSTIC) as scope:
        scope.on_close(heavy.close)
        del heavy
        held = gone()
        assert held is not None
    assert held.closed
    del held
    assert gone() is None


def test_time_begins_with_the_slot_and_ends() -> None:
    """`check` lets go on until time is up; the wait for the slot does not count."""
    every = scopes(seconds=0.05)
    waiting = every.open(RequestKind.ANSWER)
    assert waiting.remaining() == float("inf")
    with waiting:
        waiting.check()
        eventually(lambda: waiting.remaining() == 0.0, seconds=10)
        with pytest.raises(TimedOutError) as caught:
            waiting.check()
        waiting.close(caught.value)
    assert last(every).outcome is Outcome.TIMED_OUT


def waiting_thread(scope: RequestScope, seen: list[int], outcome: list[BaseException]) -> threading.Thread:
    def wait() -> None:
        try:
            scope.wait(seen.append)
        except CancelledError as error:
            outcome.append(error)
            scope.close(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_cancelling_wakes_those_who_wait() -> None:
    """From another thread, by id, while it waits for its slot; its place is free for the next."""
    every = scopes()
    running = every.open(RequestKind.ANSWER, user="eve")
    running.wait()
    waiting = every.open(RequestKind.ANSWER, user="ann")
    behind = every.open(RequestKind.ANSWER, user="bob")
    seen: list[int] = []
    outcome: list[BaseException] = []
    thread = waiting_thread(waiting, seen, outcome)
    eventually(lambda: seen == [1], seconds=10)
    assert every.cancel(ANN, waiting.id)
    thread.join(10)
    assert not thread.is_alive()
    assert len(outcome) == 1
    assert last(every).outcome is Outcome.CANCELLED
    assert [one.position for one in every.running()] == [0, 1]
    behind.close()
    running.close()


def test_only_the_own_ones_or_an_administrator() -> None:
    """A user may end what runs under the own name, also as the shell knows it; an administrator anything."""
    every = scopes(total=9)
    anns, bobs, tabs = (every.open(RequestKind.ANSWER, user=user) for user in ("ann", "bob", "tab 1"))
    with pytest.raises(ForbiddenError):
        every.cancel(ANN, bobs.id)
    with pytest.raises(ForbiddenError):
        every.cancel(ANN, "none")
    with pytest.raises(ForbiddenError):
        every.cancel(ANN, tabs.id)
    assert not bobs.cancelled
    assert every.cancel(ANN, anns.id)
    with acting_for("tab 1"):
        assert every.cancel(ANN, tabs.id)
    assert every.cancel(ADMIN, bobs.id)
    assert not every.cancel(ADMIN, "none")
    assert all(scope.cancelled for scope in (anns, bobs, tabs))
    for scope in (anns, bobs, tabs):
        scope.close()


def test_a_full_queue_is_noted() -> None:
    """The refusal is an error for its user and a line for everybody else."""
    every = scopes(waiting=0)
    running = every.open(RequestKind.UPLOAD, user="ann")
    with pytest.raises(BusyError):
        every.open(RequestKind.UPLOAD, "files", user="bob")
    assert (last(every).outcome, last(every).user) == (Outcome.REFUSED, "bob")
    assert every.outcome_counts(RequestKind.UPLOAD)[Outcome.REFUSED] == 1
    running.close()


def test_the_user_comes_with_the_context() -> None:
    """Where nobody says whose it is, it is the present request's user's."""
    every = scopes(total=9)
    with acting_for("10.0.0.7"), every.open(RequestKind.SEARCH):
        assert every.running()[0].user == "10.0.0.7"
    with every.open(RequestKind.SEARCH):
        assert every.running()[0].user == "local"


def test_a_crowd_leaves_nothing() -> None:
    """Many users, some cancelled, some failing, some dropped: never more than the limits, and all is empty after."""
    crowd = scopes(per_user=2, total=4, waiting=100)
    most = 0
    lock = threading.Lock()
    inside: dict[str, int] = {}

    def come(number: int) -> None:
        nonlocal most
        user = f"user {number % 5}"
        scope = crowd.open(RequestKind.ANSWER, user=user)
        if number % 7 == 0:
            scope.cancel()
        try:
            with scope:
                with lock:
                    inside[user] = inside.get(user, 0) + 1
                    most = max(most, sum(inside.values()))
                    assert inside[user] <= 2
                try:
                    if number % 3 == 0:
                        raise ValueError("some fail")
                    scope.check()
                finally:
                    with lock:
                        inside[user] -= 1
        except (ValueError, CancelledError):
            pass

    threads = [threading.Thread(target=come, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 1 <= most <= 4
    assert crowd.running() == []
    assert crowd.counts(RequestKind.ANSWER) == (0, 0)
    assert sum(crowd.outcome_counts(RequestKind.ANSWER).values()) == 60
