"""One answer at a time in each conversation: which are being answered, and how each answer is stopped."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from services.core.errors import ConflictError
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

    def acquire(self, lock: ConversationLock, cancellation: Cancellation) -> None:
        """Lock a conversation for an answer; an answer that was stopped and is being stored is waited for.

        Raises:
            ConflictError: the conversation is being answered already.
        """
        with self._changed:
            current = self._answers.get(lock)
            if current is not None and current.event.is_set():
                self._changed.wait_for(lambda: self._answers.get(lock) is not current, STOP_WAIT_SECONDS)
            if lock in self._answers:
                raise ConflictError(
                    _("A question of this conversation is being answered already."),
                    _("Wait for that answer or stop it."),
                )
            self._answers[lock] = cancellation

    def release(self, lock: ConversationLock, cancellation: Cancellation) -> None:
        """Unlock a conversation; does nothing if the lock is another answer's, or none."""
        with self._changed:
            if self._answers.get(lock) is cancellation:
                del self._answers[lock]
                self._changed.notify_all()

    def stop(self, lock: ConversationLock) -> bool:
        """Stop the answer of a conversation; return whether there was one."""
        with self._changed:
            cancellation = self._answers.get(lock)
        if cancellation is None:
            return False
        cancellation.cancel()
        return True
