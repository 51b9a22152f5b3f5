"""Guessing is slow, and nobody locks others out."""

from __future__ import annotations

import pytest

from services.core.actor import Role
from services.core.errors import BadInputError, BusyError, UnauthorizedError
from services.identity.attempts import SlowedDownError
from tests.identity.house import OTHER_PASSWORD, PASSWORD, House

ATTACKER, HOME = "203.0.113.66", "198.51.100.1"


@pytest.fixture
def people(house: House) -> House:
    house.add("root", Role.ADMIN)
    house.add("ann")
    return house


def guess(house: House, name: str = "ann", address: str = ATTACKER, *, code: str = "") -> bool:
    """Return whether a wrong password was checked, not refused at once."""
    try:
        house.sign_in(name, "a wrong password", code, address=address)
    except BusyError:
        return False
    except UnauthorizedError:
        return True
    raise AssertionError("a wrong password was accepted")


def guesses_in(house: House, seconds: float, name: str = "ann", address: str = ATTACKER) -> int:
    """Return how many guesses are checked in that time, of ten a second."""
    checked = 0
    for _each in range(int(seconds * 10)):
        checked += guess(house, name, address)
        house.now += 0.1
    return checked


def test_typing_errors_cost_nothing(people: House) -> None:
    """Fails if somebody who errs a few times has to wait, or errors count for ever."""
    for _each in range(4):
        assert guess(people, address=HOME)
    people.sign_in("ann", address=HOME)
    for _each in range(4):
        assert guess(people, address=HOME)
    people.sign_in("ann", address=HOME)


def test_guessing_from_one_place_is_slow(people: House) -> None:
    """Fails if a program can try more than a few hundred passwords an hour from one address."""
    assert guesses_in(people, 60) < 20
    assert guesses_in(people, 300) < 40


def test_a_refusal_says_how_long(people: House) -> None:
    """Fails if somebody who is slowed down does not learn for how long, or has to wait longer than that."""
    while guess(people):
        pass
    with pytest.raises(SlowedDownError) as caught:
        people.sign_in("ann", address=ATTACKER)
    assert 0 < caught.value.seconds <= 10
    people.now += caught.value.seconds
    assert people.sign_in("ann", address=ATTACKER).actor.name == "ann"


def test_who_hammers_an_account_locks_nobody_out(people: House) -> None:
    """Fails if the right password from elsewhere waits because of what somebody does to the account."""
    for number in range(300):
        guess(people, address=f"203.0.113.{number % 250}")
        people.now += 0.02
    assert people.sign_in("ann", address="192.0.2.50").actor.name == "ann"
    assert people.sign_in("root", address="192.0.2.51").actor.name == "root"


def test_a_place_or_device_that_is_known_is_held_by_its_own_errors_alone(people: House) -> None:
    """Fails if an attacker behind the same address (a company's, a proxy's) keeps its people out."""
    at_home = people.sign_in("ann", address=HOME)
    for _each in range(200):
        guess(people, name="root", address=HOME)
        people.now += 0.05
    assert people.sign_in("ann", address=HOME).actor.name == "ann"
    for _each in range(200):
        guess(people, address=HOME)
        people.now += 0.05
    with pytest.raises(SlowedDownError):
        people.sign_in("ann", address=HOME)
    device = people.sign_in("ann", address=HOME, known_device=at_home.known_device)
    assert device.known_device == at_home.known_device


def test_known_places_outlive_a_restart(people: House) -> None:
    """Fails if after a restart somebody's own place is one like any other."""
    people.sign_in("ann", address=HOME)
    people.open()
    for _each in range(200):
        guess(people, name="root", address=HOME)
        people.now += 0.05
    assert people.sign_in("ann", address=HOME).actor.name == "ann"


def test_the_proof_of_a_device_is_of_one_person(people: House) -> None:
    """Fails if somebody's own proof, or one that was made up, opens another account to fast guessing."""
    own = people.sign_in("root", address=ATTACKER).known_device
    number, nonce, signature = own.split(".")
    for proof in (own, f"2.{nonce}.{signature}", f"{number}.{nonce}.", "", "..", "é.é.é", "\ud800", "2.a.b", own * 50):
        checked = 0
        for _each in range(50):
            try:
                people.sign_in("ann", "wrong", address=ATTACKER, known_device=proof)
            except BusyError:
                continue
            except UnauthorizedError:
                checked += 1
        assert checked <= 7, proof
        people.now += 10


def test_guessing_with_a_stolen_proof_is_slow(people: House) -> None:
    """Fails if whoever has a device's proof guesses without being slowed down."""
    proof = people.sign_in("ann", address=HOME).known_device
    checked = 0
    for number in range(600):
        try:
            people.sign_in("ann", "wrong", address=f"203.0.{number % 100}.1", known_device=proof)
        except BusyError:
            pass
        except UnauthorizedError:
            checked += 1
        people.now += 0.1
    assert checked < 20


def test_many_places_that_guess_one_password_are_slow(people: House) -> None:
    """Fails if many machines, each with a few free errors, try as many passwords as there are machines times five.

    Each machine has its first one; from then on the account is held.
    """
    checked = 0
    for _round in range(5):
        for number in range(200):
            checked += guess(people, address=f"203.0.{number}.9")
            people.now += 0.01
    assert checked < 260


def test_one_place_that_tries_many_accounts_is_slow(people: House) -> None:
    """Fails if one address can try a password on every account."""
    checked = sum(guess(people, name=f"person{number}") for number in range(500))
    assert checked < 40


def test_names_that_do_not_exist_are_slowed_down_alike(people: House) -> None:
    """Fails if being slowed down tells whether a name exists."""
    assert guesses_in(people, 30, name="ann", address="203.0.113.1") == guesses_in(
        people, 30, name="nobody", address="203.0.113.2"
    )


def test_a_network_of_ipv6_counts_as_one(people: House) -> None:
    """Fails if somebody who has a network of addresses begins anew with each of them."""
    checked = sum(guess(people, address=f"2001:db8:1:2::{number:x}") for number in range(300))
    assert checked < 10


def test_wrong_codes_count(people: House) -> None:
    """Fails if six digits can be tried as often as one likes once the password is known."""
    secret = people.enable_second_factor("ann")
    checked = 0
    for number in range(600):
        try:
            people.sign_in("ann", code=f"{number:06}", address=ATTACKER)
        except BusyError:
            pass
        except UnauthorizedError:
            checked += 1
        people.now += 0.1
    assert checked < 20
    assert secret


def test_asking_for_ones_password_once_more_is_slow_too(people: House) -> None:
    """Fails if a session that was left open lets somebody guess the password."""
    session = people.sign_in("ann", address=HOME)
    slowed = 0
    for _each in range(30):
        try:
            people.identity.account.change_password(session.actor, "wrong", OTHER_PASSWORD)
        except BusyError:
            slowed += 1
        except BadInputError:
            pass
    assert slowed > 20
    assert people.sign_in("ann", PASSWORD, address=HOME).actor.name == "ann"
