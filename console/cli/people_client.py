"""Accounts, groups and API tokens as the commands use them, from a running server or from the data folder itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import quote

from console.cli.connect import connect
from console.cli.remote_client import RemoteClient
from services.core.actor import Role
from services.core.auditing import Origin, Way, coming_from
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.core.settings import Settings
from services.identity.identity import Identity
from services.identity.name_rules import name_key
from services.operations.data_lock import DataLock

Row = dict[str, Any]  # as the API answers it


class PeopleClient(Protocol):
    """What the commands about people need."""

    def people(self) -> list[Row]:
        """Return everybody."""

    def add_person(self, name: str, role: str | None, password: str | None) -> Row:
        """Create an account."""

    def change_person(self, person_id: int, **changes: Any) -> Row:
        """Change `role`, `disabled` or `password`."""

    def delete_person(self, person_id: int) -> None:
        """Delete an account."""

    def groups(self) -> list[Row]:
        """Return all groups."""

    def add_group(self, name: str) -> Row:
        """Create a group."""

    def delete_group(self, group_id: int) -> None:
        """Delete a group."""

    def members(self, group_id: int) -> list[Row]:
        """Return who is in a group."""

    def set_member(self, group_id: int, person_id: int, *, member: bool) -> None:
        """Put a person into a group, or take them out."""

    def tokens(self, person_id: int) -> list[Row]:
        """Return the API tokens of a person."""

    def add_token(self, person_id: int, name: str, scopes: Sequence[str], days: int | None) -> Row:
        """Make an API token: `token` and `info`."""

    def revoke_token(self, person_id: int, token_id: str) -> Row:
        """Revoke an API token."""


class RemotePeople:
    """Asks a running server."""

    def __init__(self, client: RemoteClient) -> None:
        self._call = client.call

    def people(self) -> list[Row]:
        return list(self._call("GET", "/api/people")["people"])

    def add_person(self, name: str, role: str | None, password: str | None) -> Row:
        return dict(self._call("POST", "/api/people", {"name": name, "role": role, "password": password}))

    def change_person(self, person_id: int, **changes: Any) -> Row:
        return dict(self._call("PATCH", f"/api/people/{person_id}", changes))

    def delete_person(self, person_id: int) -> None:
        self._call("DELETE", f"/api/people/{person_id}")

    def groups(self) -> list[Row]:
        return list(self._call("GET", "/api/groups")["groups"])

    def add_group(self, name: str) -> Row:
        return dict(self._call("POST", "/api/groups", {"name": name}))

    def delete_group(self, group_id: int) -> None:
        self._call("DELETE", f"/api/groups/{group_id}")

    def members(self, group_id: int) -> list[Row]:
        return list(self._call("GET", f"/api/groups/{group_id}/members")["members"])

    def set_member(self, group_id: int, person_id: int, *, member: bool) -> None:
        self._call("PUT" if member else "DELETE", f"/api/groups/{group_id}/members/{person_id}")

    def tokens(self, person_id: int) -> list[Row]:
        return list(self._call("GET", f"/api/people/{person_id}/tokens")["tokens"])

    def add_token(self, person_id: int, name: str, scopes: Sequence[str], days: int | None) -> Row:
        body = {"name": name, "scopes": list(scopes), "days": days}
        return dict(self._call("POST", f"/api/people/{person_id}/tokens", body))

    def revoke_token(self, person_id: int, token_id: str) -> Row:
        return dict(self._call("DELETE", f"/api/people/{person_id}/tokens/{quote(token_id, safe='')}"))


class LocalPeople:
    """Works on the data folder, which no server uses."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._actor = identity.command_line()

    def people(self) -> list[Row]:
        return [asdict(person) for person in self._identity.accounts.all(self._actor)]

    def add_person(self, name: str, role: str | None, password: str | None) -> Row:
        chosen = Role(role) if role else None
        return asdict(self._identity.accounts.add(self._actor, name, chosen, password=password))

    def change_person(self, person_id: int, **changes: Any) -> Row:
        accounts = self._identity.accounts
        if "password" in changes:
            accounts.set_password(self._actor, person_id, changes["password"])
        if "role" in changes:
            accounts.set_role(self._actor, person_id, Role(changes["role"]))
        if "disabled" in changes:
            accounts.set_disabled(self._actor, person_id, disabled=changes["disabled"])
        return asdict(accounts.get(self._actor, person_id))

    def delete_person(self, person_id: int) -> None:
        self._identity.accounts.delete(self._actor, person_id)

    def groups(self) -> list[Row]:
        return [asdict(group) for group in self._identity.groups.all(self._actor)]

    def add_group(self, name: str) -> Row:
        return asdict(self._identity.groups.add(self._actor, name))

    def delete_group(self, group_id: int) -> None:
        self._identity.groups.delete(self._actor, group_id)

    def members(self, group_id: int) -> list[Row]:
        return [{"id": number, "name": name} for number, name in self._identity.groups.members(self._actor, group_id)]

    def set_member(self, group_id: int, person_id: int, *, member: bool) -> None:
        groups = self._identity.groups
        (groups.add_member if member else groups.remove_member)(self._actor, group_id, person_id)

    def tokens(self, person_id: int) -> list[Row]:
        return [asdict(token) for token in self._identity.tokens.of_person(self._actor, person_id)]

    def add_token(self, person_id: int, name: str, scopes: Sequence[str], days: int | None) -> Row:
        return asdict(self._identity.tokens.create(self._actor, person_id, name, scopes, days))

    def revoke_token(self, person_id: int, token_id: str) -> Row:
        return asdict(self._identity.tokens.revoke(self._actor, token_id, person_id))


@contextmanager
def people_client(settings: Settings) -> Iterator[PeopleClient]:
    """Yield the accounts of a data folder.

    Raises:
        ConflictError: another command is at work on the data folder.
        MillpondError: it cannot be opened.
    """
    if DataLock(settings.data_dir).holder() is not None:
        with connect(settings) as client:
            if isinstance(client, RemoteClient):
                yield RemotePeople(client)
                return
    from services.app.build_identity import offline_identity

    with offline_identity(settings) as identity, coming_from(Origin(Way.CLI)):
        yield LocalPeople(identity)


def found_by_name(rows: Sequence[Row], name: str, *, of_groups: bool = False) -> Row:
    """Return the account or group of that name.

    Raises:
        NotFoundError: there is none.
    """
    key = name_key(name)
    for row in rows:
        if name_key(str(row["name"])) == key:
            return row
    if of_groups:
        raise NotFoundError(
            _("There is no group named {name}.").format(name=name), _("`millpond groups list` shows which there are.")
        )
    raise NotFoundError(
        _("There is no account named {name}.").format(name=name), _("`millpond users list` shows who there is.")
    )
