"""Accounts of people who come from a provider: the first ones, the last administrator, groups that cannot be made."""

from __future__ import annotations

import pytest

from services.core.actor import Role
from services.core.settings import Settings
from services.identity.identity import IdentityRules
from services.identity.oidc.oidc_rules import OidcRules, ProviderRefusalError
from services.identity.oidc.provided_accounts import ProvidedAccounts
from tests.identity.house import House


def provided(house: House, **settings: object) -> ProvidedAccounts:
    """Return what keeps the accounts of a house whose people come from a provider."""
    house.rules = IdentityRules(providers=True)
    identity = house.open()
    given = {"oidc_issuer": "https://id.example", "oidc_client_id": "m", "oidc_create": True} | settings
    return ProvidedAccounts(identity, OidcRules.of(Settings(**given)))  # type: ignore[arg-type] # by name


def test_what_belonged_to_nobody_waits_for_an_administrator(house: House) -> None:
    """Whoever comes first from the provider would get the conversations of the time before accounts."""
    accounts = provided(house, oidc_roles="admins=admin")
    inherited: list[str] = []
    house.identity.accounts.on_first(lambda person: inherited.append(person.name))
    accounts.entered({"sub": "1", "preferred_username": "uma", "groups": []})
    assert inherited == []
    accounts.entered({"sub": "2", "preferred_username": "ada", "groups": ["admins"]})
    accounts.entered({"sub": "3", "preferred_username": "ann", "groups": ["admins"]})
    assert inherited == ["ada"]


def test_the_last_administrator_stays_one(house: House) -> None:
    """A mistake at the provider would leave nobody who can manage people."""
    accounts = provided(house, oidc_roles="admins=admin")
    ada = accounts.entered({"sub": "1", "preferred_username": "ada", "groups": ["admins"]})
    ann = accounts.entered({"sub": "2", "preferred_username": "ann", "groups": ["admins"]})
    assert accounts.entered({"sub": "1"}) == ada
    accounts.entered({"sub": "2"})
    people = house.identity.directory.snapshot.people
    assert (people[ada].role, people[ann].role) == (Role.USER, Role.ADMIN)


def test_without_roles_the_provider_changes_none(house: House) -> None:
    """A role that an administrator gave would be gone with the next sign-in."""
    accounts = provided(house)
    house.add("root", Role.ADMIN)
    ann = accounts.entered({"sub": "2", "preferred_username": "ann", "groups": ["admins"]})
    house.identity.accounts.set_role(house.local, ann, Role.AUDITOR)
    accounts.entered({"sub": "2", "groups": []})
    assert house.identity.directory.snapshot.people[ann].role is Role.AUDITOR


def test_groups_of_the_provider_and_others(house: House) -> None:
    """A group that was put together by hand would be emptied, or a name that none can have keep people out."""
    accounts = provided(house, oidc_groups="mill-")
    root = house.add("root", Role.ADMIN).id
    groups = house.identity.groups
    ann = accounts.entered({"sub": "2", "preferred_username": "ann", "groups": ["mill-\u200b", "mill-a", "x"]})
    own = groups.add(house.local, "own").id
    for person in (ann, root):
        groups.add_member(house.local, own, person)
        groups.add_member(house.local, groups.named(house.local, "mill-a").id, person)
    assert {group.name: group.members for group in groups.all(house.local)} == {"mill-a": 2, "own": 2}
    accounts.entered({"sub": "2", "groups": "mill-b"})
    assert {group.name: group.members for group in groups.all(house.local)} == {"mill-a": 1, "mill-b": 1, "own": 2}


@pytest.mark.parametrize("name", ["\u200b", "x" * 101, "ROOT", "\uff32oot"])
def test_a_name_that_cannot_be_one_makes_no_account(house: House, name: str) -> None:
    """Two people could not be told apart, or the failure be a defect."""
    accounts = provided(house)
    house.add("root", Role.ADMIN)
    with pytest.raises(ProviderRefusalError):
        accounts.entered({"sub": "2", "preferred_username": name})
    assert len(house.identity.directory.snapshot.people) == 1
    assert house.identity.links.at_provider("https://id.example", "2") is None


def test_a_link_is_for_one(house: House) -> None:
    """Fails if a link that is gone still signs somebody in, or a subject of nobody can be stored."""
    root = house.add("root", Role.ADMIN)
    links = house.identity.links
    links.link(house.local, root.id, "https://id.example", "1")
    links.unlink(house.local, root.id, "https://id.example", "1")
    assert links.at_provider("https://id.example", "1") is None
    assert links.of_person(house.local, root.id) == []
