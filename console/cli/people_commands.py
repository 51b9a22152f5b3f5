"""The commands `users`, `groups` and `tokens`; what they do is imported when one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from services.core.settings import Settings

ROLES = ("user", "operator", "auditor", "admin")
SCOPES = ("read", "ask", "write", "operate")


def add_people_commands(
    cli: click.Group, data_dir: Callable[[Any], Any], settings_of: Callable[[Path | None], Settings]
) -> None:
    """Add the commands to the command line; `data_dir` is its option for the data folder."""
    _add_users(cli, data_dir, settings_of)
    _add_groups(cli, data_dir, settings_of)
    _add_tokens(cli, data_dir, settings_of)


_PASSWORD = click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")


def _add_users(
    cli: click.Group, data_dir: Callable[[Any], Any], settings_of: Callable[[Path | None], Settings]
) -> None:
    @cli.group()
    def users() -> None:
        """Accounts: from the first one on, nobody uses Millpond without signing in."""

    @users.command("add")
    @click.argument("name")
    @click.option("--role", type=click.Choice(ROLES), help="What the account may do [admin for the first, then user].")
    @_PASSWORD
    @data_dir
    def add(name: str, role: str | None, password_stdin: bool, data_dir: Path | None) -> None:
        """Create an account. The password is typed, or read from standard input."""
        from console.cli.accounts import add_user

        sys.exit(add_user(settings_of(data_dir), name, role, from_stdin=password_stdin))

    @users.command("list")
    @data_dir
    def list_them(data_dir: Path | None) -> None:
        """Show the accounts."""
        from console.cli.accounts import list_users

        sys.exit(list_users(settings_of(data_dir)))

    @users.command("disable")
    @click.argument("name")
    @data_dir
    def disable(name: str, data_dir: Path | None) -> None:
        """Disable an account: all its sessions end at once."""
        from console.cli.accounts import change_user

        sys.exit(change_user(settings_of(data_dir), name, disabled=True))

    @users.command("enable")
    @click.argument("name")
    @data_dir
    def enable(name: str, data_dir: Path | None) -> None:
        """Enable an account again."""
        from console.cli.accounts import change_user

        sys.exit(change_user(settings_of(data_dir), name, disabled=False))

    @users.command("set-role")
    @click.argument("name")
    @click.argument("role", type=click.Choice(ROLES))
    @data_dir
    def set_role(name: str, role: str, data_dir: Path | None) -> None:
        """Give an account another role."""
        from console.cli.accounts import change_user

        sys.exit(change_user(settings_of(data_dir), name, role=role))

    @users.command("set-password")
    @click.argument("name")
    @_PASSWORD
    @data_dir
    def new_password(name: str, password_stdin: bool, data_dir: Path | None) -> None:
        """Set the password of an account: all its sessions end at once."""
        from console.cli.accounts import set_password

        sys.exit(set_password(settings_of(data_dir), name, from_stdin=password_stdin))

    @users.command("delete")
    @click.argument("name")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @data_dir
    def delete(name: str, yes: bool, data_dir: Path | None) -> None:
        """Delete an account with its sessions, tokens, grants and conversations."""
        from console.cli.accounts import delete_user

        sys.exit(delete_user(settings_of(data_dir), name, confirmed=yes))


def _add_groups(
    cli: click.Group, data_dir: Callable[[Any], Any], settings_of: Callable[[Path | None], Settings]
) -> None:
    @cli.group()
    def groups() -> None:
        """Groups of people, who are granted access to collections together."""

    @groups.command("list")
    @data_dir
    def list_them(data_dir: Path | None) -> None:
        """Show the groups and who is in them."""
        from console.cli.accounts import list_groups

        sys.exit(list_groups(settings_of(data_dir)))

    @groups.command("add")
    @click.argument("name")
    @data_dir
    def add(name: str, data_dir: Path | None) -> None:
        """Create a group."""
        from console.cli.accounts import add_group

        sys.exit(add_group(settings_of(data_dir), name))

    @groups.command("delete")
    @click.argument("name")
    @data_dir
    def delete(name: str, data_dir: Path | None) -> None:
        """Delete a group with its grants; its members stay."""
        from console.cli.accounts import delete_group

        sys.exit(delete_group(settings_of(data_dir), name))

    @groups.command("add-member")
    @click.argument("group")
    @click.argument("name")
    @data_dir
    def add_member(group: str, name: str, data_dir: Path | None) -> None:
        """Put the person NAME into a group."""
        from console.cli.accounts import set_member

        sys.exit(set_member(settings_of(data_dir), group, name, member=True))

    @groups.command("remove-member")
    @click.argument("group")
    @click.argument("name")
    @data_dir
    def remove_member(group: str, name: str, data_dir: Path | None) -> None:
        """Take the person NAME out of a group."""
        from console.cli.accounts import set_member

        sys.exit(set_member(settings_of(data_dir), group, name, member=False))


def _add_tokens(
    cli: click.Group, data_dir: Callable[[Any], Any], settings_of: Callable[[Path | None], Settings]
) -> None:
    @cli.group()
    def tokens() -> None:
        """API tokens of people, for programs."""

    @tokens.command("create")
    @click.argument("name")
    @click.option(
        "--scope",
        "scopes",
        multiple=True,
        required=True,
        type=click.Choice(SCOPES),
        help="What it may be used for; repeatable.",
    )
    @click.option("--days", type=click.IntRange(1, 3650), help="How long it is valid [until it is revoked].")
    @click.option("--label", default="command line", help="What it is for, as lists show it.")
    @data_dir
    def create(name: str, scopes: tuple[str, ...], days: int | None, label: str, data_dir: Path | None) -> None:
        """Create an API token for the person NAME; it is printed last, on a line of its own."""
        from console.cli.accounts import create_token

        sys.exit(create_token(settings_of(data_dir), name, scopes, days, label))

    @tokens.command("list")
    @click.argument("name", required=False)
    @data_dir
    def list_them(name: str | None, data_dir: Path | None) -> None:
        """Show the API tokens of the person NAME, or of everybody."""
        from console.cli.accounts import list_tokens

        sys.exit(list_tokens(settings_of(data_dir), name))

    @tokens.command("revoke")
    @click.argument("token_id", metavar="ID")
    @data_dir
    def revoke(token_id: str, data_dir: Path | None) -> None:
        """Revoke an API token: ID is shown by `tokens list`."""
        from console.cli.accounts import revoke_token

        sys.exit(revoke_token(settings_of(data_dir), token_id))
