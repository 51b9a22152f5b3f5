"""What a browser keeps between password and code: short, sealed, and good at whichever process has the key."""

from __future__ import annotations

import base64

import pytest

from services.core.actor import Role
from services.identity.failures import OwnFailures
from services.identity.sign_in_errors import SignInOverError
from services.identity.sign_in_steps import SECONDS, TRIES, SignInSteps
from tests.identity.house import PASSWORD, House

NAME = "Österby"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def steps(clock: Clock, key: bytes = b"k" * 32) -> SignInSteps:
    return SignInSteps(lambda: key, OwnFailures(clock), clock)


def test_it_opens_with_the_key_alone_and_shows_nothing() -> None:
    """A password would be read in a page's source, or somebody make up that they know it."""
    clock = Clock()
    step = steps(clock).begin(NAME, PASSWORD)
    assert steps(clock).find(step) == (NAME, PASSWORD)
    assert steps(clock, b"o" * 32).find(step) is None
    raw = base64.urlsafe_b64decode(step + "=" * (-len(step) % 4))
    assert PASSWORD.encode() not in raw
    assert steps(clock).begin(NAME, PASSWORD) != step


@pytest.mark.parametrize("made_up", ["", "é", "x" * 43, "x" * 100_000, "!", "AAAA", "\x00", "a=b=", "A" * 40])
def test_what_is_made_up_is_none(made_up: str) -> None:
    """A form that no page sent would be a defect in the log, or get somebody in."""
    assert steps(Clock()).find(made_up) is None


def test_one_that_was_changed_is_none() -> None:
    """Somebody could put another name into it."""
    clock = Clock()
    step = steps(clock).begin(NAME, PASSWORD)
    for place in (0, len(step) // 2, len(step) - 2):
        other = "B" if step[place] == "A" else "A"
        assert steps(clock).find(step[:place] + other + step[place + 1 :]) is None


def test_it_is_over_after_some_minutes() -> None:
    """A page that was left open would be half a password for good."""
    clock = Clock()
    step = steps(clock).begin(NAME, PASSWORD)
    clock.now += SECONDS - 1
    assert steps(clock).find(step) is not None
    clock.now += 1
    assert steps(clock).find(step) is None


def test_it_is_over_after_some_wrong_codes() -> None:
    """Six digits could be tried as often as one likes with one password."""
    clock = Clock()
    kept = steps(clock)
    step, other = kept.begin(NAME, PASSWORD), kept.begin(NAME, PASSWORD)
    for _try in range(TRIES):
        assert kept.find(step) is not None
        kept.failed(step)
    assert kept.find(step) is None
    assert kept.find(other) is not None


def test_one_that_led_to_a_session_is_over() -> None:
    """Whoever finds the page that was left would need another code alone."""
    clock = Clock()
    kept = steps(clock)
    step, other = kept.begin(NAME, PASSWORD), kept.begin(NAME, PASSWORD)
    kept.end(step)
    assert kept.find(step) is None
    assert kept.find(other) is not None


def test_a_password_that_was_changed_meanwhile_does_not_do(house: House) -> None:
    """Whoever has the old password and an authenticator would get in after it was changed."""
    house.add("ann", Role.ADMIN)
    house.enable_second_factor("ann")
    step = house.identity._steps.begin("ann", "the password before")
    with pytest.raises(Exception, match="Name or password is wrong"):
        house.identity.continue_sign_in(step, "000000", address="10.0.0.1", device="")
    with pytest.raises(SignInOverError):
        house.identity.continue_sign_in("made up", "000000", address="10.0.0.1", device="")
