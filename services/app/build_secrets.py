"""Builds what keeps secrets encrypted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from services.core.database import Database
from services.core.errors import MillpondError
from services.core.migrations.backup import backups_of
from services.core.preferences import Preferences
from services.core.secret_box import SecretBox
from services.core.secret_store import SecretStore

if TYPE_CHECKING:
    from services.core.settings import Settings
    from services.nodes.pond_nodes import Nodes

log = structlog.get_logger(__name__)

SECRET_KEY = "secret key"  # noqa: S105 - what nodes must have alike, not one


def build_box(settings: Settings, nodes: Nodes | None) -> SecretBox:
    """Return what encrypts; it makes no key while another node that is running has another one."""
    if nodes is None:
        return SecretBox.of(settings)
    agree = nodes.membership.agree
    return SecretBox.of(settings, lambda made: agree(SECRET_KEY, made))


def build_secrets(preferences: Preferences, box: SecretBox) -> SecretStore:
    """Return the stored secrets, encrypted with the first of the configured keys from now on.

    Those that cannot be decrypted are logged by name and kept: what needs one says so.

    Raises:
        BadInputError: the configured key must not be used, since others can read it, for example.
    """
    box.check()
    secrets = SecretStore(preferences, box)
    try:
        secrets.reseal(failed=lambda name: log.error("a stored secret cannot be decrypted; it is kept", name=name))
    except MillpondError as error:
        log.error("stored secrets keep their old key", reason=str(error))  # noqa: TRY400 - expected, and said
    return secrets


def remove_plain_keys(database: Database) -> None:
    """Take the key of a chat server, as an earlier version stored it, out of the copies from before migrations."""
    for backup in backups_of(database.path) if database.path is not None else ():
        try:
            _remove_plain_key(backup)
        except (MillpondError, OSError) as error:
            log.error("a copy of the database may hold the key of a chat server", path=str(backup), reason=str(error))  # noqa: TRY400 - expected, and said


def _remove_plain_key(backup: Path) -> None:
    from services.chat.models.choice import forget_plain_key

    state = backup.stat()
    copy = Database(f"sqlite:///{backup}")
    try:
        changed = forget_plain_key(Preferences(copy))
    finally:
        copy.close()
    if changed:
        os.utime(backup, ns=(state.st_atime_ns, state.st_mtime_ns))  # its age decides when it is removed
        log.info("the key of a chat server was taken out of a copy of the database", path=str(backup))
