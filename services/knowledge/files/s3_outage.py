"""Whether the S3 server can be used: after a failure nothing is asked of it until a small write and read succeed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

import structlog

from services.core.i18n import _, joined
from services.knowledge.files.stored_file import FilesUnavailableError

log = structlog.get_logger(__name__)


class OutageCause(Enum):
    """Why nothing can be done with the bucket."""

    SILENT = "does not answer"
    REFUSES = "refuses the access key"
    NO_BUCKET = "has no such bucket"
    FAILS = "answers with errors"


class Outage:
    """The present outage, if there is one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cause: OutageCause | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call `listener` when an outage begins."""
        self._listeners.append(listener)

    def reason(self) -> str:
        """Return what is wrong in words, "" for nothing."""
        cause = self._cause
        return "" if cause is None else _in_words(cause)

    def begin(self, cause: OutageCause, details: str) -> None:
        """Record a failure."""
        with self._lock:
            before, self._cause = self._cause, cause
        if before is None:
            log.warning("S3 cannot be used", reason=cause.value, details=details[:500])
            for listener in self._listeners:
                listener()

    def end(self) -> None:
        """Record that the server can be used."""
        with self._lock:
            before, self._cause = self._cause, None
        if before is not None:
            log.info("S3 can be used again")

    def require_none(self) -> None:
        """Refuse what needs the server while it cannot be used.

        Raises:
            FilesUnavailableError: it cannot.
        """
        if self._cause is not None:
            raise unavailable(self._cause)


def unavailable(cause: OutageCause) -> FilesUnavailableError:
    """Return the error for whoever needs an original."""
    return FilesUnavailableError(
        joined((_in_words(cause), _("What was stored before is kept; nothing was changed."))),
        _("Try again in a moment; if it stays so, see the check “original files” on the overview."),
    )


def _in_words(cause: OutageCause) -> str:
    return {
        OutageCause.SILENT: _("The server of the original files (S3) does not answer."),
        OutageCause.REFUSES: _("The server of the original files (S3) refuses the access key."),
        OutageCause.NO_BUCKET: _("The server of the original files (S3) does not have the bucket."),
        OutageCause.FAILS: _("The server of the original files (S3) answers with errors."),
    }[cause]
