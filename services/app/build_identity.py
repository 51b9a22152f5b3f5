"""Builds identity: accounts and sessions, and the token with which commands on this machine act on a running server."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from services.core.actor import AccessLevel
from services.core.errors import StorageError
from services.core.i18n import _
from services.core.private_files import create_file
from services.core.secret_box import SecretBox
from services.identity.identity import Identity, IdentityRules
from services.identity.sessions import SessionLimits

if TYPE_CHECKING:
    from services.core.auditing import AuditSink
    from services.core.database import Database
    from services.core.preferences import Preferences
    from services.core.settings import Settings
    from services.identity.types import Person
    from services.memory.monitor import MemoryMonitor

LOCAL_TOKEN_FILE = "local.token"  # noqa: S105 - a name
WRITE_SECONDS = 60.0
_MINUTE, _DAY = 60.0, 86_400.0


def build_identity(
    settings: Settings, database: Database, preferences: Preferences, audit: AuditSink, *, now: Callable[[], float]
) -> Identity:
    """Return who there is and who asks."""
    from services.knowledge.store.collections import CollectionStore

    collections = CollectionStore(database)
    rules = IdentityRules(
        session_limits=SessionLimits(settings.session_idle_minutes * _MINUTE, settings.session_days * _DAY),
        new_collections=AccessLevel[settings.new_collection_access.upper()],
    )
    return Identity(
        database,
        preferences,
        SecretBox.of(settings),
        audit,
        rules,
        now=now,
        collections=lambda: [collection.id for collection in collections.all()],
    )


def watch_identity(identity: Identity, memory: MemoryMonitor, closing: ExitStack) -> None:
    """Tell the ledger what identity holds, and write once a minute and at the end what was used when."""
    memory.ledger.add_memory_reporter(identity.memory_reports)
    memory.add_task(identity.write_times, WRITE_SECONDS, monitoring=False)
    closing.callback(identity.write_times)


def publish_local_token(identity: Identity, folder: Path, closing: ExitStack) -> None:
    """Write a new token into the data folder, which commands on this machine send; `closing` removes it.

    Whoever can read the data folder owns what is in it anyway.

    Raises:
        StorageError: it cannot be written.
    """
    file = folder / LOCAL_TOKEN_FILE
    token = secrets.token_urlsafe(32)
    try:
        with create_file(file) as stream:
            stream.write(token.encode())
    except OSError as error:
        raise StorageError(
            _("{path} cannot be written: {reason}.").format(path=file, reason=error.strerror),
            _("Make room in the data folder, and check its permissions."),
        ) from error
    identity.accept_local_token(token)

    def remove() -> None:
        identity.accept_local_token("")
        with suppress(OSError):
            file.unlink(missing_ok=True)

    closing.callback(remove)


def read_local_token(folder: Path) -> str:
    """Return the token of the server that runs on a data folder, "" if it is not there or cannot be read."""
    try:
        return (folder / LOCAL_TOKEN_FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def inherit_and_erase(
    identity: Identity, *, hand_over: Callable[[int], object], erase: Callable[[int], object]
) -> None:
    """Have the conversations of the time before accounts become the first person's, and those of the deleted erased."""

    def inherit(person: Person) -> None:
        hand_over(person.id)

    def forget(person: Person) -> None:
        erase(person.id)

    identity.accounts.on_first(inherit)
    identity.accounts.on_delete(forget)
