"""Events, durations and counts: the vocabulary in which every service reports what happens.

A service takes an `EventSink` when it is built; `services.app` decides where the reports go.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from services.core.actor import Actor
from services.core.auditing import NOTHING, Action, AuditOutcome, AuditSink, Target
from services.core.i18n import _


class EventKind(StrEnum):
    """Kinds of events on the time line."""

    START = "start"
    STOP = "stop"
    COLLECTION = "collection"
    TRIM = "trim"
    UPLOAD = "upload"
    INGESTION = "ingestion"
    DELETION = "deletion"
    SNAPSHOT = "snapshot"
    MODEL = "model"
    LIBRARY = "library"  # a library was imported late
    POLICY = "policy"
    SETTINGS = "settings"
    TRACING = "tracing"
    VERDICT = "verdict"
    RELEASE = "release"
    BUDGET = "budget"
    ACCESS = "access"
    RESTART = "restart"
    BREAKER = "breaker"
    EXPERIMENT = "experiment"
    DAMAGE = "damage"  # a file of the data folder is not as it was left
    CERTIFICATE = "certificate"  # replaced, not replaced, or about to end
    UPGRADE = "upgrade"  # of the database's schema, and what becomes of the copy from before it
    BACKUP = "backup"  # made, verified, or failed
    NODE = "node"  # this node was taken over, or has taken over another one


class Timer(StrEnum):
    """Durations that are exposed as histograms, in seconds."""

    RETRIEVAL = "retrieval"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a word of an answer
    ANSWER = "answer"
    ANSWER_WAIT = "answer_wait"
    INGESTION_WAIT = "ingestion_wait"
    PARSING = "parsing"
    EMBEDDING = "embedding"


class Counter(StrEnum):
    """Things that are counted since the start."""

    DOCUMENTS_READY = "documents_ready"
    DOCUMENTS_FAILED = "documents_failed"
    DOCUMENTS_DELETED = "documents_deleted"
    CHUNKS_EMBEDDED = "chunks_embedded"
    PAGES_RECOGNIZED = "pages_recognized"
    CHUNKS_CHANGED = "chunks_changed"  # embedded by the model that the corpus is being changed to
    BYTES_RECEIVED = "bytes_received"
    ANSWERS_COMPLETE = "answers_complete"
    ANSWERS_STOPPED = "answers_stopped"
    ANSWERS_FAILED = "answers_failed"
    WINDOW_HITS = "window_hits"
    WINDOW_MISSES = "window_misses"


class EventSink(AuditSink, Protocol):
    """Where reports go. Every method may be called from any thread and never raises; all but `audit` return at once."""

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Record that something happened now; `figures` by name, bytes and seconds as the name says."""

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Record that `actor` did something now; `detail` says with what outcome."""

    def observe(self, timing: Timer, seconds: float) -> None:
        """Record a duration of `seconds`."""

    def count(self, counted: Counter, amount: float = 1) -> None:
        """Raise a counter by `amount`."""


class NullEventSink:
    """Discards every report."""

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Do nothing."""

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Do nothing."""

    def observe(self, timing: Timer, seconds: float) -> None:
        """Do nothing."""

    def count(self, counted: Counter, amount: float = 1) -> None:
        """Do nothing."""

    def audit(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Do nothing."""


def upload_name(name: str, actor: Actor) -> str:
    """Return how an upload is named on the time line, which operators see whatever they may read.

    Where people have accounts a document's name is only for those who may read it; the audit log has it.
    """
    return name if actor.person_id is None else unnamed_file()


def unnamed_file() -> str:
    """Return what an upload is called whose name is not told."""
    return _("a file")
