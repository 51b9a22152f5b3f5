from __future__ import annotations

import threading

import pytest

from services.core.errors import BusyError
from services.core.requests.concurrency import ASIDE, ConcurrencyLimit

DEADLINE = 10.0


def test_a_user_waits_for_an_own_slot_only() -> None:
    """A user at the limit is passed over by others and goes on when an own answer ends."""
    slots = ConcurrencyLimit(per_user=1, total=3, waiting=5)
    first, second, other = slots.acquire("ann"), slots.acquire("ann"), slots.acquire("bob")
    assert [first.acquired, second.acquired, other.acquired] == [True, False, True]
    slots.release(other)
    assert not second.acquired
    slots.release(first)
    assert second.acquired
    assert slots.counts() == (1, 0)


def test_slots_go_to_those_who_came_first() -> None:
    """The order of arrival decides."""
    slots = ConcurrencyLimit(per_user=5, total=1, waiting=5)
    running, first, second = (slots.acquire(user) for user in "abc")
    slots.release(running)
    assert [first.acquired, second.acquired] == [True, False]


def test_a_full_queue_refuses_with_a_message() -> None:
    """Past the limit nothing is queued and nothing is left behind."""
    slots = ConcurrencyLimit(per_user=9, total=1, waiting=1)
    running, waiting = slots.acquire("a"), slots.acquire("a")
    with pytest.raises(BusyError) as caught:
        slots.acquire("b")
    assert "questions waiting: 1" in caught.value.message
    assert caught.value.hint
    assert slots.counts() == (1, 1)
    slots.release(running)
    slots.release(waiting)
    slots.release(waiting)
    assert slots.counts() == (0, 0)


def test_no_waiting_at_all_still_lets_answers_run() -> None:
    """With a queue of length zero a free slot is taken at once."""
    slots = ConcurrencyLimit(per_user=1, total=1, waiting=0)
    assert slots.acquire("a").acquired
    with pytest.raises(BusyError):
        slots.acquire("a")


def test_the_position_is_reported_as_it_changes() -> None:
    """Those who wait see their place move up to the front, then their turn."""
    slots = ConcurrencyLimit(per_user=9, total=1, waiting=9)
    places = [slots.acquire("a") for _ in range(3)]
    positions = slots.positions(places[2], threading.Event())
    assert next(positions) == 2
    slots.release(places[1])
    assert next(positions) == 1
    slots.release(places[0])
    assert list(positions) == []
    assert places[2].acquired


def test_waiting_ends_when_it_is_cancelled() -> None:
    """Nobody has to leave for that."""
    slots = ConcurrencyLimit(per_user=1, total=1, waiting=9)
    slots.acquire("a")
    waiting = slots.acquire("a")
    cancelled = threading.Event()
    seen: list[int] = []
    reported = threading.Event()

    def wait() -> None:
        for position in slots.positions(waiting, cancelled):
            seen.append(position)
            reported.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert reported.wait(DEADLINE)
    cancelled.set()
    slots.wake()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert seen == [1]


def test_stepping_aside_makes_room_for_others() -> None:
    """What steps aside goes on and lets the next one in, but not the same user's; there is an end to it."""
    slots = ConcurrencyLimit(per_user=1, total=1, waiting=9)
    slow, own, other = slots.acquire("ann"), slots.acquire("ann"), slots.acquire("bob")
    assert [slow.acquired, own.acquired, other.acquired] == [True, False, False]
    assert slots.step_aside(slow)
    assert [slow.acquired, own.acquired, other.acquired] == [True, False, True]
    assert slots.counts() == (2, 1)
    slots.release(slow)
    slots.release(other)
    assert own.acquired
    many = [slots.acquire(str(number)) for number in range(ASIDE + 1)]
    assert slots.step_aside(own)
    assert [slots.step_aside(each) for each in many] == [True] * (ASIDE - 1) + [False] * 2
    assert not slots.step_aside(slow)


def test_whoever_waits_is_woken_once_the_slot_is_there() -> None:
    """A request that waits without a thread would never go on, or one that has its slot at once."""
    slots = ConcurrencyLimit(per_user=1, total=1, waiting=5)
    first, second = slots.acquire("ann"), slots.acquire("bob")
    woken: list[str] = []
    slots.on_acquired(first, lambda: woken.append("ann"))
    slots.on_acquired(second, lambda: woken.append("bob"))
    assert woken == ["ann"]
    slots.release(first)
    assert woken == ["ann", "bob"]
    assert second.acquired
