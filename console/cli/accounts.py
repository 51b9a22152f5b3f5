"""`users`, `groups` and `tokens`: accounts, groups and API tokens from the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from console.cli.people_client import PeopleClient, Row, found_by_name, people_client
from console.cli.terminal import printable, quiet_logs
from services.core.errors import BadInputError
from services.core.i18n import _, plural, use_terminal_language
from services.core.settings import Settings


def add_user(settings: Settings, name: str, role: str | None, *, from_stdin: bool) -> int:
    """Create an account; returns the exit code."""
    with _opened(settings) as client:
        added = client.add_person(name, role, read_password(from_stdin=from_stdin))
        first = len(client.people()) == 1
    click.echo(_("{name} has an account with the role {role}").format(name=_shown(added), role=added["role"]))
    if not added["has_password"]:
        click.echo(_("It has no password: set one with `millpond users set-password`, or create API tokens for it"))
    if first:
        click.echo(_("From now on everybody signs in; the collections that existed before are shared with everyone"))
    return 0


def list_users(settings: Settings) -> int:
    """Print a line for each account; returns the exit code."""
    with _opened(settings) as client:
        people = client.people()
    for person in people:
        marks = [str(person["role"])]
        if person["disabled_at"] is not None:
            marks.append(_("disabled"))
        if not person["has_password"]:
            marks.append(_("without a password"))
        if person["second_factor_since"] is not None:
            marks.append(_("second factor"))
        seen = person["last_sign_in"]
        marks.append(_("last sign-in {time}").format(time=_time(seen)) if seen else _("never signed in"))
        click.echo(f"{_shown(person)}  {', '.join(marks)}")
    if not people:
        click.echo(_("There are no accounts: whoever reaches Millpond is its administrator"))
    return 0


def change_user(settings: Settings, name: str, *, role: str | None = None, disabled: bool | None = None) -> int:
    """Set role or state of an account; returns the exit code."""
    with _opened(settings) as client:
        person_id = _person_id(client, name)
        if role is not None:
            changed = client.change_person(person_id, role=role)
            click.echo(_("{name} has the role {role} now").format(name=_shown(changed), role=changed["role"]))
        if disabled is not None:
            changed = client.change_person(person_id, disabled=disabled)
            click.echo(
                _("{name} is disabled; all sessions have ended").format(name=_shown(changed))
                if disabled
                else _("{name} is enabled").format(name=_shown(changed))
            )
    return 0


def set_password(settings: Settings, name: str, *, from_stdin: bool) -> int:
    """Set the password of an account; returns the exit code."""
    with _opened(settings) as client:
        person_id = _person_id(client, name)
        password = read_password(from_stdin=from_stdin)
        if password is None:
            raise BadInputError(_("The password is missing; nothing was changed."), _("Give it with --password-stdin."))
        changed = client.change_person(person_id, password=password)
    click.echo(_("{name} has a new password; all sessions have ended").format(name=_shown(changed)))
    return 0


def delete_user(settings: Settings, name: str, *, confirmed: bool) -> int:
    """Delete an account; returns the exit code."""
    with _opened(settings) as client:
        person = found_by_name(client.people(), name)
        if not confirmed:
            click.confirm(
                _("Delete {name} with all conversations? Nobody can read them afterwards.").format(name=_shown(person)),
                abort=True,
            )
        client.delete_person(int(person["id"]))
    click.echo(_("{name} is deleted, and so are the conversations").format(name=_shown(person)))
    return 0


def add_group(settings: Settings, name: str) -> int:
    """Create a group; returns the exit code."""
    with _opened(settings) as client:
        added = client.add_group(name)
    click.echo(_("The group {name} was created").format(name=_shown(added)))
    return 0


def list_groups(settings: Settings) -> int:
    """Print a line for each group; returns the exit code."""
    with _opened(settings) as client:
        groups = [(group, client.members(int(group["id"]))) for group in client.groups()]
    for group, members in groups:
        names = ", ".join(_shown(member) for member in members)
        count = plural("{count} member", "{count} members", len(members))
        click.echo(f"{_shown(group)}  {count}{f': {names}' if names else ''}")
    if not groups:
        click.echo(_("There are no groups"))
    return 0


def delete_group(settings: Settings, name: str) -> int:
    """Delete a group; returns the exit code."""
    with _opened(settings) as client:
        group = found_by_name(client.groups(), name, of_groups=True)
        client.delete_group(int(group["id"]))
    click.echo(_("The group {name} is deleted; its members stay").format(name=_shown(group)))
    return 0


def set_member(settings: Settings, group_name: str, name: str, *, member: bool) -> int:
    """Put a person into a group, or take them out; returns the exit code."""
    with _opened(settings) as client:
        group = found_by_name(client.groups(), group_name, of_groups=True)
        person = found_by_name(client.people(), name)
        client.set_member(int(group["id"]), int(person["id"]), member=member)
    text = _("{name} is in the group {group}") if member else _("{name} is not in the group {group}")
    click.echo(text.format(name=_shown(person), group=_shown(group)))
    return 0


def create_token(settings: Settings, name: str, scopes: Sequence[str], days: int | None, label: str) -> int:
    """Make an API token and print it as the last line; returns the exit code."""
    with _opened(settings) as client:
        made = client.add_token(_person_id(client, name), label, scopes, days)
    info = made["info"]
    until = _("until {time}").format(time=_time(info["expires"])) if info["expires"] else _("until it is revoked")
    text = _("API token {id} of {name}, for {scopes}, valid {until}; it is not shown again:")
    click.echo(text.format(id=info["id"], name=name, scopes=", ".join(info["scopes"]), until=until))
    click.echo(made["token"])
    return 0


def list_tokens(settings: Settings, name: str | None) -> int:
    """Print a line for each API token, of one person or of all; returns the exit code."""
    with _opened(settings) as client:
        people = client.people()
        if name is not None:
            people = [found_by_name(people, name)]
        found = [(person, token) for person in people for token in client.tokens(int(person["id"]))]
    now = time.time()
    for person, token in found:
        expires, used = token["expires"], token["last_used"]
        if token["revoked_at"] is not None:
            state = _("revoked {time}").format(time=_time(token["revoked_at"]))
        elif expires is not None and expires <= now:
            state = _("expired {time}").format(time=_time(expires))
        else:
            state = _("valid until {time}").format(time=_time(expires)) if expires else _("valid")
        last = _("last used {time}").format(time=_time(used)) if used else _("never used")
        label = printable(str(token["name"]))
        scopes = " ".join(token["scopes"])
        click.echo(f"{token['id']}  {_shown(person)}  {label}  …{token['last_four']}  {scopes}  {state}, {last}")
    if not found:
        click.echo(_("There are no API tokens"))
    return 0


def revoke_token(settings: Settings, token_id: str) -> int:
    """Revoke an API token; returns the exit code."""
    with _opened(settings) as client:
        for person in client.people():
            if any(token["id"] == token_id for token in client.tokens(int(person["id"]))):
                client.revoke_token(int(person["id"]), token_id)
                click.echo(_("The API token {id} of {name} is revoked").format(id=token_id, name=_shown(person)))
                return 0
    raise BadInputError(
        _("There is no API token {id}; nothing was changed.").format(id=token_id),
        _("`millpond tokens list` shows which there are."),
    )


def read_password(*, from_stdin: bool) -> str | None:
    """Return the password from the first line of standard input, or typed twice on a terminal; None for none.

    Raises:
        BadInputError: standard input is empty, or not UTF-8.
    """
    if from_stdin:
        try:
            password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadInputError(_("The password is not text in UTF-8; nothing was changed.")) from error
        if not password:
            raise BadInputError(
                _("There is no password on standard input; nothing was changed."), _("Give it as the first line.")
            )
        return password
    if not sys.stdin.isatty():
        return None
    typed = click.prompt(_("Password (empty: none)"), hide_input=True, confirmation_prompt=True, default="")
    return str(typed) or None


@contextmanager
def _opened(settings: Settings) -> Iterator[PeopleClient]:
    use_terminal_language(settings.language)
    quiet_logs(settings)
    with people_client(settings) as client:
        yield client


def _person_id(client: PeopleClient, name: str) -> int:
    return int(found_by_name(client.people(), name)["id"])


def _shown(row: Row) -> str:
    return printable(str(row["name"]))


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
