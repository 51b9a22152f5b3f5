"""Builds identity: accounts and sessions, and the token with which commands on this machine act on a running server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from services.core.actor import AccessLevel, Actor
from services.core.auditing import NOTHING, Action, AuditOutcome, Target
from services.core.errors import MillpondError
from services.core.language_choice import LanguageChoices
from services.core.local_token import remove_local_token, write_local_token
from services.core.secret_box import SecretBox
from services.identity.identity import Identity, IdentityRules
from services.identity.sessions import WRITE_SECONDS, SessionLimits
from services.memory.process import trim_heap

if TYPE_CHECKING:
    from services.audit.audit_trail import Audit
    from services.core.auditing import AuditSink
    from services.core.database import Database
    from services.core.preferences import Preferences
    from services.core.settings import Settings
    from services.identity.types import Person
    from services.memory.monitor import MemoryMonitor

log = structlog.get_logger(__name__)

_MINUTE, _DAY = 60.0, 86_400.0


def build_identity(
    settings: Settings,
    database: Database,
    preferences: Preferences,
    box: SecretBox,
    audit: AuditSink,
    *,
    now: Callable[[], float],
) -> Identity:
    """Return who there is and who asks."""
    from services.knowledge.store.collections import CollectionStore

    collections = CollectionStore(database)
    rules = IdentityRules(
        session_limits=SessionLimits(settings.session_idle_minutes * _MINUTE, settings.session_days * _DAY),
        new_collections=AccessLevel[settings.new_collection_access.upper()],
        providers=bool(settings.oidc_issuer),
    )
    identity = Identity(
        database,
        preferences,
        box,
        audit,
        rules,
        now=now,
        collections=lambda: [collection.id for collection in collections.all()],
    )
    languages = LanguageChoices(preferences)
    identity.accounts.on_delete(lambda person: languages.choose(person.id, None))
    _reseal(identity)
    return identity


def _reseal(identity: Identity) -> None:
    """Have second factors encrypted with the key of now, as the other secrets are."""
    try:
        failed = identity.reseal()
    except MillpondError as error:
        log.error("second factors keep their old key", reason=str(error))  # noqa: TRY400 - expected, and said
        return
    if failed:
        log.error("second factors that cannot be decrypted are kept; their people need recovery codes", count=failed)


def watch_identity(identity: Identity, memory: MemoryMonitor, closing: ExitStack) -> None:
    """Tell the ledger what identity holds; once a minute write what was used when, and give back what hashes left.

    A freed block of 19 MiB is less than what the C library maps separately (`fix_mmap_threshold`), so it keeps it.
    """
    trimmed = 0

    def give_back() -> None:
        nonlocal trimmed
        if identity.hashes != trimmed:
            trimmed = identity.hashes
            trim_heap()

    memory.add_task(give_back, WRITE_SECONDS, monitoring=False)
    memory.ledger.add_memory_reporter(identity.memory_reports)
    memory.add_task(identity.write_times, WRITE_SECONDS, monitoring=False)
    closing.callback(identity.write_times)


def publish_local_token(identity: Identity, folder: Path, closing: ExitStack) -> None:
    """Write a new token into the data folder, which commands on this machine send; `closing` removes it.

    Raises:
        StorageError: it cannot be written.
    """
    identity.accept_local_token(write_local_token(folder))

    def remove() -> None:
        identity.accept_local_token("")
        remove_local_token(folder)

    closing.callback(remove)


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


class _Recorder:
    """Records in the audit log what a command does."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def audit(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Record that `actor` did something."""
        self._audit.record(actor, action, target, outcome, detail)


@contextmanager
def offline_identity(settings: Settings) -> Iterator[Identity]:
    """Yield identity over a data folder that no server uses: without models, index and parsers.

    Raises:
        ConflictError: another process holds the data folder, or a newer version has written it.
        MillpondError: a part cannot be had.
    """
    from services.app.build_audit import build_audit
    from services.app.build_schema import open_database
    from services.app.damage import require_database
    from services.chat.store import ChatStore
    from services.core.preferences import Preferences
    from services.core.private_files import make_folder
    from services.memory.clock import Clock
    from services.operations.data_lock import DataLock

    with ExitStack() as closing:
        make_folder(settings.data_dir)
        lock = DataLock(settings.data_dir)
        lock.acquire()
        closing.callback(lock.release)
        require_database(settings)
        database, _upgrade = open_database(settings, closing, lambda _stage: None)
        audit = build_audit(settings, Clock(), database, closing)
        identity = build_identity(
            settings, database, Preferences(database), SecretBox.of(settings), _Recorder(audit), now=Clock().time
        )
        conversations = ChatStore(database)
        inherit_and_erase(identity, hand_over=conversations.hand_over, erase=conversations.delete_conversations_of)
        yield identity
        database.empty_log()
