"""Accounts, groups and grants: who may change what, and that it counts at once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from services.core.actor import PERMISSIONS, AccessLevel, Actor, Permission, Role
from services.core.auditing import Action, AuditOutcome
from services.core.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    MillpondError,
    NotFoundError,
    UnauthorizedError,
)
from services.identity import directory as directory_module
from services.identity.directory import Directory
from services.identity.identity import IdentityRules
from services.identity.store.grants import GrantStore
from services.identity.store.people import PeopleStore
from services.identity.types import EVERYONE, Grantee, GranteeKind, Person, RevocationReason, SignInWay
from tests.identity.house import OTHER_PASSWORD, PASSWORD, House


@pytest.fixture
def people(house: House) -> House:
    house.add("root", Role.ADMIN)
    house.add("ann")
    house.add("bob")
    return house


# Accounts


def test_the_first_account_is_an_administrator(house: House) -> None:
    """Fails if the first account cannot make the others."""
    with pytest.raises(BadInputError):
        house.add("ann", Role.USER)
    assert house.identity.open_mode
    assert house.identity.accounts.add(house.local, "root").role is Role.ADMIN
    assert house.identity.accounts.add(house.local, "ann").role is Role.USER


def test_with_a_provider_nobody_is_let_in_before_there_are_accounts(house: House) -> None:
    """Fails if a console with a provider is open until the first person comes, or demands a local administrator."""
    house.rules = IdentityRules(providers=True)
    house.open()
    assert not house.identity.open_mode
    assert house.identity.accounts.add(house.local, "ann", Role.USER).role is Role.USER


@pytest.mark.parametrize("other", ["ann", "ANN", " Ann ", "ａｎｎ", "Ａnn"])
def test_one_name_is_one_person(people: House, other: str) -> None:
    """Fails if two accounts have names that people take for the same."""
    with pytest.raises(ConflictError):
        people.add(other)
    assert people.sign_in(other).actor.name == "ann"


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "a\x00b", "a\u202eb", "x" * 101, "\ud800"])
def test_names_that_cannot_be(people: House, name: str) -> None:
    """Fails if an account has a name that nobody sees or can type."""
    with pytest.raises(BadInputError):
        people.add(name)


def test_the_last_administrator_stays(people: House) -> None:
    """Fails if nobody is left who manages people."""
    root = people.actor("root")
    accounts = people.identity.accounts
    changes: list[Callable[[int], object]] = [
        lambda person: accounts.set_role(root, person, Role.AUDITOR),
        lambda person: accounts.set_disabled(root, person, disabled=True),
        lambda person: accounts.delete(root, person),
    ]
    for change in changes:
        with pytest.raises(ConflictError):
            change(1)
    second = people.add("second", Role.ADMIN)
    accounts.set_disabled(root, second.id, disabled=True)
    with pytest.raises(ConflictError):  # a disabled one does not count
        accounts.delete(root, 1)
    accounts.set_disabled(root, second.id, disabled=False)
    accounts.set_role(root, 1, Role.USER)
    assert people.actor("root").role is Role.USER


def test_only_who_manages_people_manages_people(people: House) -> None:
    """Fails if a user, operator or auditor changes an account, a group or a grant, or is not recorded trying it."""
    people.add("oper", Role.OPERATOR)
    people.add("audit", Role.AUDITOR)
    group = people.identity.groups.add(people.local, "team")
    identity = people.identity
    accounts, groups = identity.accounts, identity.groups
    actions: list[Callable[[Actor], object]] = [
        accounts.all,
        lambda actor: accounts.get(actor, 1),
        lambda actor: accounts.named(actor, "root"),
        lambda actor: accounts.add(actor, "eve", Role.ADMIN),
        lambda actor: accounts.rename(actor, 1, "x"),
        lambda actor: accounts.set_role(actor, actor.person_id or 0, Role.ADMIN),
        lambda actor: accounts.set_disabled(actor, 1, disabled=True),
        lambda actor: accounts.set_password(actor, 1, OTHER_PASSWORD),
        lambda actor: accounts.reset_second_factor(actor, 1),
        lambda actor: accounts.delete(actor, 1),
        lambda actor: identity.sessions.end_all(actor, 1),
        lambda actor: identity.tokens.create(actor, 1, "x", ["read"]),
        identity.tokens.all,
        lambda actor: groups.add(actor, "x"),
        lambda actor: groups.rename(actor, group.id, "x"),
        lambda actor: groups.delete(actor, group.id),
        lambda actor: groups.members(actor, group.id),
        lambda actor: groups.add_member(actor, group.id, actor.person_id or 0),
        lambda actor: groups.remove_member(actor, group.id, 1),
    ]
    for name in ("ann", "oper", "audit"):
        actor = people.actor(name)
        for action in actions:
            before = len(people.audit.records)
            with pytest.raises(ForbiddenError):
                action(actor)
            assert [(each.action, each.outcome) for each in people.audit.records[before:]] == [
                (Action.PERMISSION_REFUSED, AuditOutcome.REFUSED)
            ]
    assert [(person.name, person.role) for person in accounts.all(people.local)] == [
        ("ann", Role.USER),
        ("audit", Role.AUDITOR),
        ("bob", Role.USER),
        ("oper", Role.OPERATOR),
        ("root", Role.ADMIN),
    ]


def test_disabling_ends_sessions_at_once(people: House) -> None:
    """Fails if somebody who was disabled goes on, or comes back before being enabled."""
    signed_in = people.sign_in("ann")
    seen: list[Actor | None] = []
    people.identity.on_revoked(lambda _revocation: seen.append(people.identity.by_session(signed_in.token)))
    people.identity.accounts.set_disabled(people.local, 2, disabled=True)
    assert seen
    assert set(seen) == {None}  # whoever hears of it finds it done
    with pytest.raises(UnauthorizedError, match="disabled"):
        people.sign_in("ann")
    with pytest.raises(UnauthorizedError, match="wrong"):
        people.sign_in("ann", "another password")
    people.identity.accounts.set_disabled(people.local, 2, disabled=False)
    assert people.identity.by_session(signed_in.token) is None
    assert people.sign_in("ann").actor.name == "ann"


def test_a_role_counts_with_the_next_request(people: House) -> None:
    """Fails if somebody keeps permissions of a role that was taken away, or has to sign in again."""
    signed_in = people.sign_in("ann")
    people.identity.accounts.set_role(people.local, 2, Role.OPERATOR)
    actor = people.identity.by_session(signed_in.token)
    assert actor is not None
    assert actor.permissions == PERMISSIONS[Role.OPERATOR]
    people.identity.accounts.set_role(people.local, 2, Role.USER)
    actor = people.identity.by_session(signed_in.token)
    assert actor is not None
    assert not actor.may(Permission.OPERATE)
    assert [(each.person_id, each.why, each.ends_sessions) for each in people.revoked] == [
        (2, RevocationReason.ROLE, False)
    ] * 2


def test_a_new_password_ends_the_other_sessions(people: House) -> None:
    """Fails if whoever stole a session stays in after the password was changed, or the own session ends."""
    here, there = people.sign_in("ann"), people.sign_in("ann")
    account = people.identity.account
    with pytest.raises(BadInputError):
        account.change_password(here.actor, "wrong", OTHER_PASSWORD)
    with pytest.raises(BadInputError):
        account.change_password(here.actor, PASSWORD, "password1234")
    account.change_password(here.actor, PASSWORD, OTHER_PASSWORD)
    assert people.identity.by_session(here.token) is not None
    assert people.identity.by_session(there.token) is None
    assert people.sign_in("ann", OTHER_PASSWORD).actor.name == "ann"
    people.identity.accounts.set_password(people.local, 2, PASSWORD)
    assert people.identity.by_session(here.token) is None


def test_a_deleted_person_leaves_nothing(people: House) -> None:
    """Fails if sessions, tokens, rights or conversations of somebody who was deleted stay, or pass to a new person."""
    erased: list[Person] = []
    people.identity.accounts.on_delete(erased.append)
    signed_in = people.sign_in("bob")
    token = people.identity.tokens.create(people.local, 3, "a", ["read"]).token
    people.identity.sharing.set(people.local, 1, Grantee(GranteeKind.PERSON, 3), AccessLevel.MANAGE)
    people.identity.accounts.delete(people.local, 3)
    assert [person.name for person in erased] == ["bob"]
    assert people.identity.by_session(signed_in.token) is None
    with pytest.raises(UnauthorizedError):
        people.identity.by_api_token(token, "")
    with pytest.raises(NotFoundError):
        people.identity.accounts.delete(people.local, 3)
    again = people.add("bob")
    assert again.id != 3
    assert people.identity.directory.rights(again.id).level(1) is AccessLevel.WRITE  # as everyone
    assert {RevocationReason.DELETED} <= {each.why for each in people.revoked if each.person_id == 3}


def test_a_deletion_that_fails_can_be_repeated(people: House) -> None:
    """Fails if somebody whose conversations could not be erased is gone, or may sign in."""
    fail = True

    def erase(_person: Person) -> None:
        if fail:
            raise ConflictError("the disk is full")

    people.identity.accounts.on_delete(erase)
    signed_in = people.sign_in("bob")
    with pytest.raises(ConflictError):
        people.identity.accounts.delete(people.local, 3)
    assert people.identity.by_session(signed_in.token) is None
    with pytest.raises(UnauthorizedError):
        people.sign_in("bob")
    fail = False
    people.identity.accounts.delete(people.local, 3)
    assert people.identity.directory.person(3) is None


def test_what_belonged_to_nobody_goes_to_the_first(house: House) -> None:
    """Fails if the conversations of the time before accounts get lost, or go to a second person."""
    inherited: list[str] = []
    house.identity.accounts.on_first(lambda person: inherited.append(person.name))
    house.add("root", Role.ADMIN)
    house.add("ann")
    assert inherited == ["root"]


# Groups and grants


def level(house: House, name: str, collection: int) -> AccessLevel:
    return house.actor(name).level(collection)


def test_what_was_shared_stays_shared(house: House) -> None:
    """Fails if the first account takes the collections of before from people, or gives them those that come later."""
    house.add("root", Role.ADMIN)
    house.add("ann")
    house.collections.append(4)
    assert [level(house, "ann", each) for each in (1, 2, 3, 4)] == [AccessLevel.WRITE] * 3 + [AccessLevel.NONE]
    assert level(house, "root", 4) is AccessLevel.MANAGE
    assert house.actor("ann").readable() == {1, 2, 3}
    assert house.actor("root").readable() is None


@pytest.mark.parametrize("default", [AccessLevel.NONE, AccessLevel.READ, AccessLevel.WRITE])
def test_a_new_collection(house: House, default: AccessLevel) -> None:
    """Fails if its maker does not manage it, or others get something else than the setting says."""
    house.rules = IdentityRules(new_collections=default)
    house.open()
    for name, role in (("root", Role.ADMIN), ("ann", Role.USER), ("bob", Role.USER)):
        house.add(name, role)
    house.collections.append(4)
    house.identity.sharing.on_collection_created(house.actor("ann"), 4)
    assert level(house, "ann", 4) is AccessLevel.MANAGE
    assert level(house, "bob", 4) is default


def test_the_highest_of_all_grants_counts(people: House) -> None:
    """Fails if a grant to a person, a group or everyone is forgotten, or a lower one hides a higher one."""
    sharing, groups = people.identity.sharing, people.identity.groups
    team = groups.add(people.local, "team")
    groups.add_member(people.local, team.id, 2)
    people.collections.append(4)
    as_group, as_person = Grantee(GranteeKind.GROUP, team.id), Grantee(GranteeKind.PERSON, 2)
    steps = [
        (EVERYONE, AccessLevel.READ, AccessLevel.READ, AccessLevel.READ),
        (as_group, AccessLevel.MANAGE, AccessLevel.MANAGE, AccessLevel.READ),
        (as_person, AccessLevel.READ, AccessLevel.MANAGE, AccessLevel.READ),
        (as_group, AccessLevel.NONE, AccessLevel.READ, AccessLevel.READ),
        (as_person, AccessLevel.WRITE, AccessLevel.WRITE, AccessLevel.READ),
        (EVERYONE, AccessLevel.NONE, AccessLevel.WRITE, AccessLevel.NONE),
        (as_person, AccessLevel.NONE, AccessLevel.NONE, AccessLevel.NONE),
    ]
    for grantee, granted, ann, bob in steps:
        sharing.set(people.local, 4, grantee, granted)
        assert (level(people, "ann", 4), level(people, "bob", 4)) == (ann, bob)
        people.open()
        assert (level(people, "ann", 4), level(people, "bob", 4)) == (ann, bob)
        sharing, groups = people.identity.sharing, people.identity.groups


def test_who_hears_of_a_right_that_is_gone(people: House) -> None:
    """Fails if running answers of somebody who lost a right are not ended, or those of all others are."""
    sharing, groups = people.identity.sharing, people.identity.groups
    team = groups.add(people.local, "team")
    groups.add_member(people.local, team.id, 3)
    as_group = Grantee(GranteeKind.GROUP, team.id)
    sharing.set(people.local, 1, as_group, AccessLevel.MANAGE)
    sharing.set(people.local, 1, Grantee(GranteeKind.PERSON, 2), AccessLevel.MANAGE)
    assert people.revoked == []  # more rights end nothing
    sharing.set(people.local, 1, Grantee(GranteeKind.PERSON, 2), AccessLevel.READ)
    sharing.set(people.local, 1, as_group, AccessLevel.READ)
    sharing.set(people.local, 1, EVERYONE, AccessLevel.NONE)
    groups.remove_member(people.local, team.id, 3)
    groups.add_member(people.local, team.id, 3)
    groups.delete(people.local, team.id)
    assert [each.person_id for each in people.revoked] == [2, 3, None, 3, 3]
    assert {each.why for each in people.revoked} == {RevocationReason.RIGHTS}


def test_a_listener_that_fails_keeps_nobody_from_hearing(people: House) -> None:
    """Fails if one listener's defect leaves sessions open that others would have closed."""

    def broken(_revocation: object) -> None:
        raise RuntimeError("broken")

    identity = people.open()
    heard: list[object] = []
    identity.on_revoked(broken)
    identity.on_revoked(heard.append)
    identity.accounts.set_disabled(people.local, 2, disabled=True)
    assert heard


def test_who_shares_a_collection(people: House) -> None:
    """Fails if somebody shares what they do not manage, or learns that a collection exists that they may not read."""
    people.collections.append(4)
    sharing = people.identity.sharing
    sharing.on_collection_created(people.actor("ann"), 4)
    ann, bob = people.actor("ann"), people.actor("bob")
    sharing.set(ann, 4, sharing.find_grantee(ann, 4, GranteeKind.PERSON, "BOB"), AccessLevel.READ)
    assert [(grant.name, grant.level) for grant in sharing.grants(ann, 4)] == [
        ("ann", AccessLevel.MANAGE),
        ("bob", AccessLevel.READ),
    ]
    with pytest.raises(ForbiddenError):
        sharing.set(people.actor("bob"), 4, EVERYONE, AccessLevel.READ)
    sharing.set(ann, 4, Grantee(GranteeKind.PERSON, 3), AccessLevel.NONE)
    for missing in (4, 5):
        with pytest.raises(NotFoundError) as caught:
            sharing.grants(people.actor("bob"), missing)
        assert str(caught.value) == "There is no such collection."
    with pytest.raises(NotFoundError):
        sharing.set(people.local, 5, EVERYONE, AccessLevel.READ)
    for nobody in (Grantee(GranteeKind.PERSON, 77), Grantee(GranteeKind.GROUP, 77)):
        with pytest.raises(NotFoundError):
            sharing.set(ann, 4, nobody, AccessLevel.READ)
    with pytest.raises(NotFoundError):
        sharing.find_grantee(ann, 4, GranteeKind.GROUP, "nobody")
    assert bob.name == "bob"
    sharing.on_collection_deleted(4)
    assert level(people, "ann", 4) is AccessLevel.NONE


def test_the_snapshot_is_what_the_database_says(people: House) -> None:
    """Fails if a change is applied to the snapshot otherwise than to the database; random changes, each compared."""
    chance = random.Random(12)
    identity = people.identity
    people.collections.extend(range(4, 9))
    groups = [identity.groups.add(people.local, f"group {number}").id for number in range(4)]
    persons = [2, 3, *(people.add(f"person {number}", password=None).id for number in range(5))]
    for _each in range(120):
        person, group, collection = chance.choice(persons), chance.choice(groups), chance.choice(people.collections)
        grantee = chance.choice([EVERYONE, Grantee(GranteeKind.PERSON, person), Grantee(GranteeKind.GROUP, group)])
        change = chance.choice(
            [
                lambda p=person, g=group: identity.groups.add_member(people.local, g, p),
                lambda p=person, g=group: identity.groups.remove_member(people.local, g, p),
                lambda c=collection, g=grantee: identity.sharing.set(
                    people.local, c, g, chance.choice(list(AccessLevel))
                ),
                lambda c=collection: identity.sharing.on_collection_deleted(c),
                lambda p=person: identity.accounts.set_role(people.local, p, chance.choice(list(Role))),
                lambda p=person: identity.accounts.set_disabled(people.local, p, disabled=chance.random() < 0.5),
            ]
        )
        try:
            change()
        except MillpondError as error:
            raise AssertionError(f"refused: {error}") from error
        anew = Directory(PeopleStore(people.database), GrantStore(people.database))
        assert identity.directory.snapshot == anew.snapshot
        for each in persons:
            assert identity.directory.rights(each) == anew.rights(each)


def test_somebody_whom_a_provider_knows(people: House) -> None:
    """Fails if a subject of a provider becomes two people, or a deleted one's comes back to a new account."""
    accounts = people.identity.accounts
    people.identity.links.link(people.local, 2, "https://id.example", "ann-1")
    people.identity.links.link(people.local, 2, "https://id.example", "ann-1")
    assert people.identity.links.at_provider("https://id.example", "ann-1") == 2
    assert people.identity.links.at_provider("https://other.example", "ann-1") is None
    with pytest.raises(ConflictError):
        people.identity.links.link(people.local, 3, "https://id.example", "ann-1")
    opened = people.identity.open_session(2, way=SignInWay.OIDC, address="10.0.0.1", device="Firefox/140")
    assert people.identity.sessions.of_person(people.local, 2)[0].way is SignInWay.OIDC
    accounts.delete(people.local, 2)
    assert people.identity.links.at_provider("https://id.example", "ann-1") is None
    assert people.identity.by_session(opened.token) is None
    with pytest.raises(UnauthorizedError):
        people.identity.open_session(2, way=SignInWay.OIDC, address="", device="")


def test_joined_rights_are_bounded(people: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if the rights of everybody who ever asked stay in memory, or what was forgotten is not joined anew."""
    monkeypatch.setattr(directory_module, "_MOST_JOINED", 10)
    directory = people.identity.directory
    for _each in range(3):
        for person in (1, 2, 3):
            assert directory.rights(person).level(2) is (AccessLevel.MANAGE if person == 1 else AccessLevel.WRITE)
    kept = sum(len(rights.levels) + 1 for rights in directory._joined.rights.values())
    assert kept <= 10
    assert directory.memory_report().bytes > 0
