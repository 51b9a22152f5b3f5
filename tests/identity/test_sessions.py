"""Sessions: their limits, and their end."""

from __future__ import annotations

import threading

import pytest

from services.core.actor import Role
from services.core.errors import ForbiddenError, NotFoundError
from services.identity.identity import IdentityRules
from services.identity.sessions import MOST_PER_PERSON, SessionLimits
from services.identity.types import RevocationReason
from tests.identity.house import House

HOUR = 3600.0


@pytest.fixture
def people(house: House) -> House:
    house.add("root", Role.ADMIN)
    house.add("ann")
    house.add("bob")
    return house


def test_a_session_ends_without_use_and_in_any_case(people: House) -> None:
    """Fails if a session that nobody uses goes on, or one in use lasts for ever."""
    idle, used = people.sign_in("ann"), people.sign_in("ann")
    identity = people.identity
    for _each in range(30):
        people.now += 11 * HOUR
        assert identity.by_session(used.token) is not None
        identity.write_times()
    assert identity.by_session(idle.token) is None
    people.now = used.expires - 1
    identity.by_session(used.token)  # within the idle limit or not: what counts is the end
    people.now = used.expires
    assert identity.by_session(used.token) is None
    assert {each.why for each in people.revoked} == {RevocationReason.EXPIRED}
    assert identity.sessions.of_person(people.local, 2) == []


def test_an_idle_session_ends_by_itself(people: House) -> None:
    """Fails if connections that are open stay open after the session's time is over: nobody asks for it then."""
    signed_in = people.sign_in("ann")
    people.now += 12 * HOUR
    people.identity.write_times()
    assert [each.session_ids for each in people.revoked] == [{signed_in.actor.session_id}]


def test_use_counts_after_a_restart(people: House) -> None:
    """Fails if a restart forgets that a session was in use, and ends it as idle."""
    signed_in = people.sign_in("ann")
    people.now += 11 * HOUR
    people.identity.by_session(signed_in.token)
    people.identity.write_times()
    people.now += 11 * HOUR
    assert people.open().by_session(signed_in.token) is not None


def test_no_statement_for_a_request(people: House) -> None:
    """Fails if requests of somebody who is signed in ask the database, or write to it."""
    signed_in = people.sign_in("ann")
    with people.statements() as statements:
        for _each in range(50):
            people.now += 1
            assert people.identity.by_session(signed_in.token) is not None
            assert people.identity.by_session_id(signed_in.actor.session_id, used=True) is not None
    assert statements == []


def test_who_may_end_which(people: House) -> None:
    """Fails if somebody sees or ends the sessions of another person."""
    ann, bob, root = people.sign_in("ann"), people.sign_in("bob"), people.sign_in("root")
    sessions = people.identity.sessions
    with pytest.raises(ForbiddenError):
        sessions.of_person(bob.actor, 2)
    with pytest.raises(ForbiddenError):
        sessions.end_all(bob.actor, 2)
    for person_id in (2, 3):
        with pytest.raises(NotFoundError):
            sessions.end(bob.actor, ann.actor.session_id, person_id)
    assert people.identity.by_session(ann.token) is not None
    sessions.end(root.actor, ann.actor.session_id, 2)
    assert people.identity.by_session(ann.token) is None
    with pytest.raises(NotFoundError):
        sessions.end(root.actor, ann.actor.session_id, 2)


def test_all_but_this_one(people: House) -> None:
    """Fails if ending the other sessions ends this one, or leaves one."""
    here, *others = [people.sign_in("ann") for _each in range(4)]
    listed = people.identity.sessions.of_person(here.actor, 2)
    assert [each.id for each in listed] == [each.actor.session_id for each in reversed([here, *others])]
    assert {(each.device, each.address) for each in listed} == {("curl", "10.0.0.1")}
    assert people.identity.sessions.end_all(here.actor, 2, but=here.actor.session_id) == 3
    assert people.identity.by_session(here.token) is not None
    assert all(people.identity.by_session(each.token) is None for each in others)


def test_a_person_has_a_bounded_number(people: House) -> None:
    """Fails if a program that signs in again and again fills the database."""
    first = people.sign_in("ann")
    for _each in range(MOST_PER_PERSON):
        people.sign_in("ann")
    assert people.identity.by_session(first.token) is None
    assert len(people.identity.sessions.of_person(people.local, 2)) == MOST_PER_PERSON


def test_what_is_no_token(people: House) -> None:
    """Fails if something that is no token breaks the look-up, or finds a session."""
    signed_in = people.sign_in("ann")
    for wrong in (
        "",
        "x",
        signed_in.token[:-1],
        signed_in.token + "x",
        "\ud800" * 43,
        "é" * 43,
        "\x00" * 43,
        "a" * 10_000,
    ):
        assert people.identity.by_session(wrong) is None
    for wrong in ("", "s", "s0", "s-1", "t1", "s1\n", "s" + "9" * 40, "s١"):
        assert people.identity.by_session_id(wrong) is None


def test_a_session_that_is_ended_while_it_is_read_is_not_kept(people: House) -> None:
    """Fails if a request that read a session just before its end puts it back into memory."""
    signed_in = people.sign_in("ann")
    identity = people.open()  # nothing is in memory
    find = identity.sessions._store.find

    def slowly(sha256: bytes) -> object:
        found = find(sha256)
        if found is not None:
            thread = threading.Thread(target=identity.sign_out, args=(signed_in.actor.session_id,))
            thread.start()
            thread.join()
        return found

    identity.sessions._store.find = slowly  # type: ignore[method-assign]
    assert identity.by_session(signed_in.token) is None
    identity.sessions._store.find = find  # type: ignore[method-assign]
    assert identity.by_session(signed_in.token) is None


def test_limits_of_the_settings(people: House) -> None:
    """Fails if the limits of the settings are not those of sessions."""
    people.rules = IdentityRules(session_limits=SessionLimits(60.0, 120.0))
    identity = people.open()
    signed_in = identity.sign_in("ann", "violet tractor under seven moons", address="", device="")
    assert signed_in.expires == people.now + 120
    people.now += 59
    assert identity.by_session(signed_in.token) is not None
    people.now += 60
    assert identity.by_session(signed_in.token) is None
