from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from console.ui.page_openings import Turnstile
from tests.servers import eventually


class Guest(threading.Thread):
    """Passes a turnstile and stays inside until it is let out."""

    def __init__(self, turnstile: Turnstile, *, fails: bool = False) -> None:
        super().__init__()
        self._turnstile = turnstile
        self._fails = fails
        self.inside, self.leave = threading.Event(), threading.Event()

    def run(self) -> None:
        with suppress(ValueError), self._turnstile.passing():
            self.inside.set()
            assert self.leave.wait(30)
            if self._fails:
                int("a page that fails")


def inside(guests: list[Guest]) -> int:
    return sum(guest.inside.is_set() for guest in guests)


@pytest.mark.parametrize("fails", [False, True])
def test_only_some_are_inside_and_the_next_follows(fails: bool) -> None:
    """All tabs would be drawn at once, or one that fails would keep its place for good."""
    turnstile = Turnstile(places=2, seconds=3600.0)
    guests = [Guest(turnstile, fails=fails) for _number in range(4)]
    for guest in guests:
        guest.start()
    eventually(lambda: inside(guests) == 2, what="two inside")
    next(guest for guest in guests if guest.inside.is_set()).leave.set()
    eventually(lambda: inside(guests) == 3, what="a third")
    for guest in guests:
        guest.leave.set()
    for guest in guests:
        guest.join(30)
    assert inside(guests) == 4


def test_a_slow_one_does_not_keep_the_others_waiting() -> None:
    """Four pages that wait for a diagnostic would keep everybody out."""
    now = [100.0]
    turnstile = Turnstile(places=1, seconds=0.2, now=lambda: now[0])
    slow, other = Guest(turnstile), Guest(turnstile)
    slow.start()
    assert slow.inside.wait(30)
    other.start()
    assert not other.inside.wait(0.5)
    now[0] += 0.2
    assert other.inside.wait(30)
    for guest in (slow, other):
        guest.leave.set()
        guest.join(30)
