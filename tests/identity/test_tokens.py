"""API tokens."""

from __future__ import annotations

import re

import pytest

from services.core.actor import PERMISSIONS, SCOPES, AccessLevel, Permission, Role
from services.core.auditing import Action
from services.core.errors import (
    BadInputError,
    BusyError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)
from services.identity import tokens as tokens_module
from services.identity.secret_text import is_api_token, new_api_token
from services.identity.types import RevocationReason
from tests.identity.house import House

ADDRESS = "192.0.2.7"


def test_a_typing_error_is_told_from_a_wrong_token() -> None:
    """Fails if a slip of one character passes the checksum, or tokens are shorter than 256 bits."""
    token = new_api_token()
    assert re.fullmatch(r"mp_[0-9A-Za-z]{49}", token)
    assert is_api_token(token)
    slips = [token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :] for at in range(len(token))]
    assert not any(is_api_token(slip) for slip in [*slips, token[:-1], token + "a", token.lower(), "", "mp_", "é" * 52])
    assert len({new_api_token() for _each in range(1000)}) == 1000


def test_a_token_acts_for_its_person_within_its_scopes(house: House) -> None:
    """Fails if a token may more than its scopes or its person, or is stored as it is."""
    house.add("root", Role.ADMIN)
    ann = house.add("ann")
    made = house.identity.tokens.create(house.actor("ann"), ann.id, "laptop", ["ask"])
    actor = house.identity.by_api_token(made.token, ADDRESS)
    assert (actor.name, actor.person_id, actor.session_id) == ("ann", ann.id, made.info.id)
    assert actor.permissions == SCOPES["ask"]
    operate = house.identity.tokens.create(house.actor("ann"), ann.id, "op", ["operate"])
    assert house.identity.by_api_token(operate.token, ADDRESS).permissions == PERMISSIONS[Role.USER] & SCOPES["operate"]
    assert made.token.encode() not in (house.folder / "millpond.db").read_bytes()
    assert made.token not in repr((made, house.audit.records))
    assert made.info.last_four == made.token[-4:]


def test_a_token_cannot_make_another(house: House) -> None:
    """Fails if a token with few scopes can be turned into one with more, or into a changed account."""
    house.add("root", Role.ADMIN)
    root = house.identity.by_api_token(house.identity.tokens.create(house.local, 1, "all", list(SCOPES)).token, ADDRESS)
    assert root.may(Permission.PEOPLE)
    with pytest.raises(ForbiddenError):
        house.identity.tokens.create(root, 1, "more", ["operate"])
    with pytest.raises(ForbiddenError):
        house.identity.account.change_password(root, "x", "y")
    with pytest.raises(ForbiddenError):
        house.identity.account.begin_second_factor(root, "x")


def test_expired_revoked_disabled(house: House) -> None:
    """Fails if a token outlives its end date, its revocation, or its person's account."""
    house.add("root", Role.ADMIN)
    ann = house.add("ann")
    create = house.identity.tokens.create
    short = create(house.local, ann.id, "a", ["read"], days=1)
    long = create(house.local, ann.id, "b", ["read"], days=3)
    endless = create(house.local, ann.id, "c", ["read"])
    house.now += 86_400.0
    by_token = house.identity.by_api_token
    with pytest.raises(UnauthorizedError, match="expired"):
        by_token(short.token, ADDRESS)
    assert by_token(long.token, ADDRESS).name == "ann"
    house.identity.tokens.revoke(house.local, long.info.id, ann.id)
    with pytest.raises(UnauthorizedError, match="revoked"):
        by_token(long.token, ADDRESS)
    assert house.revoked[-1].session_ids == {long.info.id}
    assert house.revoked[-1].why == RevocationReason.REVOKED
    assert by_token(endless.token, ADDRESS).name == "ann"
    house.identity.accounts.set_disabled(house.local, ann.id, disabled=True)
    with pytest.raises(UnauthorizedError, match="disabled"):
        by_token(endless.token, ADDRESS)
    house.identity.accounts.set_disabled(house.local, ann.id, disabled=False)
    assert by_token(endless.token, ADDRESS).name == "ann"
    house.identity.accounts.delete(house.local, ann.id)
    with pytest.raises(UnauthorizedError, match="no such"):
        by_token(endless.token, ADDRESS)


def test_wrong_tokens_are_slowed_down_and_the_right_one_never(house: House) -> None:
    """Fails if guessing is free, or somebody's wrong tokens lock another one out."""
    house.add("root", Role.ADMIN)
    right = house.identity.tokens.create(house.local, 1, "a", ["read"]).token
    slowed = 0
    for _each in range(60):
        try:
            house.identity.by_api_token(new_api_token(), ADDRESS)
        except BusyError:
            slowed += 1
        except UnauthorizedError:
            pass
        assert house.identity.by_api_token(right, ADDRESS).name == "root"
    assert slowed >= 20


def test_the_last_use_is_written_once_a_minute(house: House) -> None:
    """Fails if each request writes to the database, or the last use is lost at a restart."""
    house.add("root", Role.ADMIN)
    made = house.identity.tokens.create(house.local, 1, "a", ["read"])
    house.now += 10
    with house.statements() as statements:
        for _each in range(20):
            house.identity.by_api_token(made.token, ADDRESS)
    assert len(statements) <= 1  # the first one finds it
    assert house.identity.tokens.of_person(house.local, 1)[0].last_used == house.now
    house.identity.write_times()
    assert house.open().tokens.of_person(house.local, 1)[0].last_used == house.now


def test_what_cannot_be_a_token(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a token is made without scopes, with unknown ones, without an end that is possible, or without limit."""
    house.add("root", Role.ADMIN)
    create = house.identity.tokens.create
    for scopes, days in (([], None), (["all"], None), (["read"], 0), (["read"], -1), (["read"], 100_000)):
        with pytest.raises(BadInputError):
            create(house.local, 1, "a", scopes, days)
    with pytest.raises(BadInputError):
        create(house.local, 1, " \u200b ", ["read"])
    with pytest.raises(NotFoundError):
        create(house.local, 99, "a", ["read"])
    monkeypatch.setattr(tokens_module, "MOST_PER_PERSON", 2)
    first = create(house.local, 1, "a", ["read"])
    create(house.local, 1, "b", ["read"])
    with pytest.raises(ConflictError):
        create(house.local, 1, "c", ["read"])
    house.identity.tokens.revoke(house.local, first.info.id, 1)
    create(house.local, 1, "c", ["read"])


def test_only_the_owner_and_who_manages_people_see_and_revoke(house: House) -> None:
    """Fails if somebody learns of or revokes another one's token, or an id of a session is taken for a token's."""
    house.add("root", Role.ADMIN)
    ann, bob = house.add("ann"), house.add("bob")
    made = house.identity.tokens.create(house.actor("ann"), ann.id, "a", ["read"])
    other = house.actor("bob")
    with pytest.raises(ForbiddenError):
        house.identity.tokens.of_person(other, ann.id)
    for person_id in (ann.id, bob.id):
        with pytest.raises(NotFoundError):
            house.identity.tokens.revoke(other, made.info.id, person_id)
    for wrong in ("s1", "t", "t0", "t-1", "1", "t1x", "t" + "9" * 30, "t²"):
        with pytest.raises(NotFoundError):
            house.identity.tokens.revoke(house.actor("ann"), wrong, ann.id)
    house.identity.tokens.revoke(house.actor("root"), made.info.id, ann.id)
    assert house.audit.actions().count(Action.TOKEN_REVOKED) == 1


def test_rights_of_a_token_are_its_persons_of_now(house: House) -> None:
    """Fails if a token keeps rights that were taken from its person, or "operate" lets documents be changed."""
    house.add("root", Role.ADMIN)
    ann = house.add("ann")
    house.identity.sharing.on_collection_created(house.actor("ann"), 2)
    token = house.identity.tokens.create(house.local, ann.id, "a", ["read", "write"]).token
    assert house.identity.by_api_token(token, ADDRESS).level(2) is AccessLevel.MANAGE
    read_only = house.identity.tokens.create(house.local, ann.id, "b", ["read"]).token
    assert house.identity.by_api_token(read_only, ADDRESS).level(2) is AccessLevel.READ
