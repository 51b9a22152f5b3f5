"""One answer at a time in each conversation: which are being answered, and how each answer is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.core.errors import CancelledError, ConflictError
from services.core.i18n import _
from services.core.requests.request import Cancellation

STOP_WAIT_SECONDS = 2.0  # a question waits so long for a stopped answer to be stored


@dataclass(frozen=True, slots=True)
class ConversationLock:
    """What is locked: a conversation of a person. Whoever asks in that of another keeps nobody waiting there."""

    person_id: int | None
    conversation_id: str


class ConversationLocks:
    """Which conversations are being answered, and how each answer is stopped. Thread-safe."""

    def __init__(self) -> None:
        # Reentrant: an abandoned answer may be closed by the garbage collector at any moment, also while its thread
        # holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._answers: dict[ConversationLock, Cancellation] = {}
        self._waiting: dict[Cancellation, ConversationLock] = {}

    @contextmanager
    def held(
        self, lock: ConversationLock, cancellation: Cancellation, *, seconds: float = STOP_WAIT_SECONDS
    ) -> Iterator[None]:
        """Lock a conversation for an answer; one that was stopped and is being stored is waited for, for `seconds`.

        Without a conversation there is nothing to lock.

        Raises:
            CancelledError: `cancellation` was set meanwhile.
            ConflictError: the conversation is being answered already.
        """
        if lock.conversation_id:
            self._acquire(lock, cancellation, seconds)
        try:
            yield
        finally:
            self.release(lock, cancellation)

    def _acquire(self, lock: ConversationLock, cancellation: Cancellation, seconds: float) -> None:
        with self._changed:
            current = self._answers.get(lock)
            if current is not None and current.event.is_set():
                self._waiting[cancellation] = lock
                cancellation.on_cancel(self._wake)
                self._changed.wait_for(
                    lambda: cancellation.event.is_set() or self._answers.get(lock) is not current, seconds
                )
                del self._waiting[cancellation]
                if cancellation.event.is_set():
                    raise CancelledError(_("The request was cancelled; nothing of it was kept."))
            if lock in self._answers:
                raise ConflictError(
                    _("A question of this conversation is being answered already."),
                    _("Wait for that answer or stop it."),
                )
            self._answers[lock] = cancellation

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def release(self, lock: ConversationLock, cancellation: Cancellation) -> None:
        """Unlock a conversation; does nothing if the lock is another answer's, or none."""
        with self._changed:
            if self._answers.get(lock) is cancellation:
                del self._answers[lock]
                self._changed.notify_all()

    def stop(self, lock: ConversationLock) -> bool:
        """Stop the answer of a conversation and what waits for its end; return whether there was one."""
        with self._changed:
            current = self._answers.get(lock)
            found = [cancellation for cancellation, wanted in self._waiting.items() if wanted == lock]
        if current is not None:
            found.append(current)
        for cancellation in found:
            cancellation.cancel()
        return bool(found)
