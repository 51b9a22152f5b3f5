"""Audit: the vocabulary in which services say who did what, and from where the present context was called.

A service says so with `EventSink.audit`, or within `audited`, which also records how it ended; `services.audit` keeps
it. What the service does by itself is an event and no audit record, unless it deletes data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.core.actor import Actor
from services.core.errors import ErrorKind, MillpondError
from services.core.i18n import joined


class Action(StrEnum):
    """What was done, as a plain verb in the past."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    SESSION_ENDED = "session_ended"
    TOKEN_CREATED = "token_created"  # noqa: S105 - an action's name
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    PERSON_CREATED = "person_created"
    PERSON_CHANGED = "person_changed"
    PERSON_DELETED = "person_deleted"
    GROUP_CHANGED = "group_changed"
    GRANT_CHANGED = "grant_changed"
    PERMISSION_REFUSED = "permission_refused"  # the detail says for what

    DOCUMENT_UPLOADED = "document_uploaded"
    DOCUMENT_IMPORTED = "document_imported"
    DOCUMENT_CHANGED = "document_changed"
    DOCUMENT_DELETED = "document_deleted"
    COLLECTION_CREATED = "collection_created"
    COLLECTION_CHANGED = "collection_changed"
    COLLECTION_DELETED = "collection_deleted"
    QUOTES_ERASED = "quotes_erased"
    CONVERSATION_DELETED = "conversation_deleted"

    SETTINGS_CHANGED = "settings_changed"
    MODEL_CHANGE = "model_change"  # of the documents' embedding model: started, paused, resumed, cancelled
    COLLECTOR_CHANGED = "collector_changed"
    COLLECTOR_RUN = "collector_run"
    MEMORY_RELEASED = "memory_released"
    BUDGET_CHANGED = "budget_changed"
    BUDGET_ACTION = "budget_action"
    TRACING_CHANGED = "tracing_changed"
    EXPERIMENT_CHANGED = "experiment_changed"
    REQUEST_CANCELLED = "request_cancelled"
    RESTART_REQUESTED = "restart_requested"
    NODE_DRAINED = "node_drained"
    NODE_RESUMED = "node_resumed"
    NODE_TAKEN_OVER = "node_taken_over"
    NODE_FORGOTTEN = "node_forgotten"
    ALERT_TESTED = "alert_tested"
    BACKUP_STARTED = "backup_started"
    BACKUP_VERIFIED = "backup_verified"

    EXPORT = "export"
    OBJECTS_LOOKED_AT = "objects_looked_at"
    ALLOCATIONS_LOOKED_AT = "allocations_looked_at"
    SNAPSHOT_CHANGED = "snapshot_changed"  # of objects or allocations: renamed
    SNAPSHOT_DELETED = "snapshot_deleted"

    NAMES_ERASED = "names_erased"  # of what was deleted, in older records
    RECORDS_REMOVED = "records_removed"  # older ones, by retention
    RECORDS_LOST = "records_lost"  # that could not be written


class AuditOutcome(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Way(StrEnum):
    """By which door somebody came."""

    PAGE = "page"
    API = "api"
    TOKEN = "token"  # noqa: S105 - the API, with an API token
    NODE = "node"  # another node of the pond, which asks for somebody
    CLI = "cli"
    SERVICE = "service"


class TargetKind(StrEnum):
    """Kinds of what something is done to."""

    DOCUMENT = "document"
    COLLECTION = "collection"
    CONVERSATION = "conversation"
    PERSON = "person"
    GROUP = "group"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105
    SETTING = "setting"
    COLLECTOR = "collector"
    MEMORY = "memory"
    BUDGET = "budget"
    TRACING = "tracing"
    SNAPSHOT = "snapshot"
    EXPERIMENT = "experiment"
    OBJECTS = "objects"
    REQUEST = "request"
    PROCESS = "process"
    NODE = "node"
    WEBHOOK = "webhook"
    AUDIT = "audit"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What something is done to. `name` is what people call it; a deleted document's is erased from its records."""

    kind: TargetKind = TargetKind.NONE
    id: str | int = ""
    name: str = ""


NOTHING = Target()


@dataclass(slots=True)
class Origin:
    """From where the present context was called. `actor` is known once somebody has authenticated the caller."""

    way: Way = Way.SERVICE
    address: str = ""
    request_id: str = ""
    token: str = ""
    actor: Actor | None = None


_origin: ContextVar[Origin | None] = ContextVar("millpond_origin", default=None)


def current_origin() -> Origin:
    """Return from where the present context was called; the service itself where nobody said so."""
    return _origin.get() or Origin()


@contextmanager
def coming_from(origin: Origin) -> Iterator[Origin]:
    """Attribute what is done inside, also in threads that are started with this context, to `origin`."""
    token = _origin.set(origin)
    try:
        yield origin
    finally:
        _origin.reset(token)


class AuditSink(Protocol):
    """Where audit records go. May be called from any thread, also within a transaction of the database."""

    def audit(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Record that `actor` (None: whoever called, see `Origin`) did something; never raises outside of a
        transaction. Within one the record is committed with it, or not at all."""


@dataclass(slots=True)
class AuditedAction:
    """What is being done within `audited`: target and detail may be completed there; `skip`: nothing was done."""

    target: Target = NOTHING
    detail: str = ""
    skip: bool = False


# Nothing was begun, or somebody else records it (a refusal: `Actor.on_refusal`).
_NOT_FAILED = frozenset(
    {ErrorKind.FORBIDDEN, ErrorKind.BAD_INPUT, ErrorKind.NOT_FOUND, ErrorKind.BUSY, ErrorKind.CONFLICT}
)


@contextmanager
def audited(
    sink: AuditSink, actor: Actor | None, action: Action, target: Target = NOTHING, detail: str = ""
) -> Iterator[AuditedAction]:
    """Record what is done inside when it has ended: as done, or as failed with the reason."""
    act = AuditedAction(target, detail)
    try:
        yield act
    except Exception as error:
        expected = isinstance(error, MillpondError)
        if not (isinstance(error, MillpondError) and error.kind in _NOT_FAILED):
            reason = str(error) if expected else type(error).__name__
            sink.audit(actor, action, act.target, AuditOutcome.FAILED, joined((act.detail, reason), " "))
        raise
    if not act.skip:
        sink.audit(actor, action, act.target, AuditOutcome.DONE, act.detail)
