"""One answer at a time in each conversation."""

from __future__ import annotations

import threading

from services.errors import ConflictError
from services.scopes.cancellation import Cancellation
from services.texts import _

LEAVING_SECONDS = 2.0  # a question waits so long for a stopped answer to be stored


class Claims:
    """Which conversations are being answered, and how each answer is stopped."""

    def __init__(self) -> None:
        # Reentrant, like the other locks here: an answer that was dropped may be closed by the garbage collector at any
        # moment, also while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._answers: dict[str, Cancellation] = {}

    def take(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Claim a conversation for an answer; one that was stopped and is on its way out is waited for.

        Raises:
            ConflictError: the conversation is being answered already.
        """
        with self._changed:
            before = self._answers.get(conversation_id)
            if before is not None and before.event.is_set():
                self._changed.wait_for(lambda: self._answers.get(conversation_id) is not before, LEAVING_SECONDS)
            if conversation_id in self._answers:
                raise ConflictError(
                    _("A question of this conversation is being answered already."),
                    _("Wait for that answer or stop it."),
                )
            self._answers[conversation_id] = cancellation

    def release(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Let go of a conversation; does nothing if the claim is another answer's, or none."""
        with self._changed:
            if self._answers.get(conversation_id) is cancellation:
                del self._answers[conversation_id]
                self._changed.notify_all()

    def stop(self, conversation_id: str) -> bool:
        """Stop the answer of a conversation; return whether there was one."""
        with self._changed:
            cancellation = self._answers.get(conversation_id)
        if cancellation is None:
            return False
        cancellation.cancel()
        return True
