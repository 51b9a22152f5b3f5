"""`secrets`: lists, stores and removes the secrets that Millpond keeps encrypted, and replaces their key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from console.cli.terminal import quiet_logs
from services.core.database import Database
from services.core.errors import BadInputError, NotFoundError
from services.core.i18n import _, plural, use_terminal_language
from services.core.known_secrets import secret_end
from services.core.secret_box import SecretBox, UnreadableSecretError
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.core.stored_settings import STORABLE, require_value
from services.identity.second_factor import SecondFactors
from services.identity.store.people import PeopleStore
from services.operations.data_lock import DataLock


def list_secrets(settings: Settings) -> int:
    """Print the name of each secret, what it is for, and its last four characters; returns the exit code."""
    with _opened(settings) as (secrets, _box, _database):
        names = secrets.names()
        for name, place in names.items():
            try:
                shown = secret_end(secrets.get(name, name, place))
            except UnreadableSecretError as error:
                shown = error.message
            click.echo(f"{name}{f' ({place})' if place else ''}: {shown}")
        if not names:
            click.echo(_("No secrets are stored"))
    return 0


def set_secret(settings: Settings, name: str, text: str) -> int:
    """Store the secret of a setting; returns the exit code."""
    text = text.strip()
    if name not in STORABLE:
        raise BadInputError(
            _("{name} is no secret that can be stored.").format(name=name),
            _("These are: {names}.").format(names=", ".join(STORABLE)),
        )
    if not text:
        raise BadInputError(_("The secret is empty; nothing was stored."), _("Give it on standard input."))
    require_value(name, text)
    with _opened(settings) as (secrets, _box, _database):
        secrets.set(name, text)
    click.echo(_("{name} is stored, encrypted").format(name=name))
    return 0


def remove_secret(settings: Settings, name: str) -> int:
    """Remove a secret; returns the exit code."""
    with _opened(settings) as (secrets, _box, _database):
        if not secrets.remove(name):
            raise NotFoundError(
                _("There is no secret {name}.").format(name=name), _("millpond secrets list shows them.")
            )
    click.echo(_("{name} is removed").format(name=name))
    return 0


def rotate_key(settings: Settings) -> int:
    """Encrypt all secrets with a new key and forget the old one; returns the exit code."""
    lost: list[str] = []
    with _opened(settings) as (secrets, box, database):
        box.add_key()
        count = secrets.reseal(failed=lost.append)
        factors, failed = SecondFactors(PeopleStore(database), box, time.time).reseal()
        count += factors
        lost += [_("the second factor of a person")] * failed
        if not lost:
            box.drop_old_keys()
    click.echo(plural("{count} secret has a new key", "{count} secrets have a new key", count))
    if lost:
        click.echo(
            _("Could not be decrypted, kept as they are, and so are the old keys: {names}").format(
                names=", ".join(lost)
            )
        )
    return 1 if lost else 0


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[SecretStore, SecretBox, Database]]:
    """Yield the secrets of the data folder, which no other process uses meanwhile."""
    from services.app.tables import import_tables
    from services.core.migrations.upgrade import open_schema
    from services.core.preferences import Preferences

    use_terminal_language(settings.language)
    quiet_logs(settings)
    lock = DataLock(settings.data_dir)
    lock.acquire()
    import_tables()
    try:
        database = Database(settings.effective_database_url, checked=True, replicated=settings.database_replicated)
        try:
            database.hold(alone=True)
            open_schema(database)
            box = SecretBox.of(settings)
            box.check()
            yield SecretStore(Preferences(database), box), box, database
            database.empty_log()
        finally:
            database.close()
    finally:
        lock.release()
