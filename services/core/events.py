"""How every room says what has happened: events for the time line, durations and counts for the metrics.

A room takes a `EventSink` when it is built and reports in these words; what becomes of it is decided in `runtime`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class EventKind(StrEnum):
    """What appears on the time line beside the curves."""

    START = "start"
    STOP = "stop"
    COLLECTION = "collection"
    TRIM = "trim"
    UPLOAD = "upload"
    INGESTION = "ingestion"
    DELETION = "deletion"
    SNAPSHOT = "snapshot"
    MODEL = "model"
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


class Timer(StrEnum):
    """Durations that are kept as histograms, in seconds."""

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
    BYTES_RECEIVED = "bytes_received"
    ANSWERS_COMPLETE = "answers_complete"
    ANSWERS_STOPPED = "answers_stopped"
    ANSWERS_FAILED = "answers_failed"
    WINDOW_HITS = "window_hits"
    WINDOW_MISSES = "window_misses"


class EventSink(Protocol):
    """Where reports go. Every method returns at once, from any thread, and never raises."""

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Something happened now; `figures` by name, bytes and seconds as the name says."""

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Somebody did something now: like `event`, with who it was; `detail` tells the outcome."""

    def observe(self, timing: Timer, seconds: float) -> None:
        """Something took `seconds`."""

    def count(self, counted: Counter, amount: float = 1) -> None:
        """Something happened `amount` times."""


class NullEventSink:
    """A reporter for those who have nobody to report to."""

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Do nothing."""

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Do nothing."""

    def observe(self, timing: Timer, seconds: float) -> None:
        """Do nothing."""

    def count(self, counted: Counter, amount: float = 1) -> None:
        """Do nothing."""
