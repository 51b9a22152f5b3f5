"""Errors that services raise for failures that a person can understand and act on."""

from __future__ import annotations

from enum import StrEnum

from services.core.i18n import joined, localized


class ErrorKind(StrEnum):
    """Kinds of failures; each shell (pages, API, command line) presents every one of them."""

    BAD_INPUT = "bad-input"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    BUSY = "busy"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    STORAGE = "storage"
    DAMAGED = "damaged"


class MillpondError(Exception):
    """An expected failure: what happened and what was kept (`message`), and what to do (`hint`).

    Both are told in the language of whoever reads them, wherever they were raised. Anything else that reaches the shell
    is a defect and is logged with a reference id.
    """

    kind: ErrorKind = ErrorKind.BAD_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self._message = message
        self._hint = hint

    @property
    def message(self) -> str:
        """What happened and what was kept."""
        return localized(self._message)

    @property
    def hint(self) -> str:
        """What to do, "" for nothing."""
        return localized(self._hint)

    def __str__(self) -> str:
        return joined((self.message, self.hint))


class BadInputError(MillpondError):
    """The input cannot be used as it is."""

    kind = ErrorKind.BAD_INPUT


class NotFoundError(MillpondError):
    """What was asked for does not exist, or no longer."""

    kind = ErrorKind.NOT_FOUND


class ConflictError(MillpondError):
    """The action does not fit the present state."""

    kind = ErrorKind.CONFLICT


class TooLargeError(MillpondError):
    """The input is over a configured limit."""

    kind = ErrorKind.TOO_LARGE


class BusyError(MillpondError):
    """All slots are in use; the same request may succeed later."""

    kind = ErrorKind.BUSY


class TimedOutError(MillpondError):
    """The work ran past its time limit and was ended."""

    kind = ErrorKind.TIMED_OUT


class CancelledError(MillpondError):
    """The work was cancelled."""

    kind = ErrorKind.CANCELLED


class UnavailableError(MillpondError):
    """A component that is needed (a model server, a model file) is missing or not ready."""

    kind = ErrorKind.UNAVAILABLE


class DatabaseAwayError(UnavailableError):
    """The database does not answer, or others keep it busy; the same work may succeed later.

    Where it came in the middle of a commit, nobody knows whether that was made.
    """


class TakenOverError(DatabaseAwayError):
    """Another node has taken over the work of this one, which was silent for seconds; nothing was written.

    It joins again by itself, and the same work may succeed then.
    """


class UnauthorizedError(MillpondError):
    """Nobody knows who asks: no sign-in, a session that has ended, a wrong password or token.

    Whoever answers holds that back for `seconds`, so that guessing takes long.
    """

    kind = ErrorKind.UNAUTHORIZED

    def __init__(self, message: str, hint: str = "", seconds: float = 0.0) -> None:
        super().__init__(message, hint)
        self.seconds = seconds


class ForbiddenError(MillpondError):
    """The actor may read this, not change it."""

    kind = ErrorKind.FORBIDDEN


class StorageError(MillpondError):
    """The disk or the database refused; what was stored before is kept."""

    kind = ErrorKind.STORAGE


class DamagedError(MillpondError):
    """A file does not have the content that it should have."""

    kind = ErrorKind.DAMAGED
