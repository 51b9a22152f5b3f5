"""One answer at a time in each conversation: which are being answered, and how each answer is stopped.

Where several nodes serve, an answer claims its conversation from the other ones, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import structlog

from services.core.claims import ALONE, ClaimKind, Claims
from services.core.errors import CancelledError, ConflictError, MillpondError, UnavailableError
from services.core.i18n import _
from services.core.requests.request import Cancellation

log = structlog.get_logger(__name__)

STOP_WAIT_SECONDS = 2.0  # a question waits so long for a stopped answer to be stored
CLAIM_WAIT_SECONDS = 1.5  # a node releases once a second what it could not while the database was away
CLAIM_POLL_SECONDS = 0.15
_MOST_NAME = 200  # characters of a claim's name


@dataclass(frozen=True, slots=True)
class ConversationLock:
    """What is locked: a conversation of a person. Whoever asks in that of another keeps nobody waiting there."""

    person_id: int | None
    conversation_id: str

    @property
    def claim(self) -> str:
        """The name of the claim of the node at which the answer is given."""
        person = "" if self.person_id is None else self.person_id
        return f"{ClaimKind.CONVERSATION}:{person}:{self.conversation_id}"[:_MOST_NAME]


def claimed_conversation(claim: str) -> ConversationLock | None:
    """Return the conversation that a claim is of, None for one of something else."""
    kind, _separator, rest = claim.partition(":")
    person, _separator, conversation_id = rest.partition(":")
    if kind != ClaimKind.CONVERSATION:
        return None
    return ConversationLock(int(person) if person else None, conversation_id)


class ConversationLocks:
    """Which conversations are being answered, and how each answer is stopped. Thread-safe."""

    def __init__(self, claims: Claims = ALONE) -> None:
        self._claims = claims
        # Reentrant: an abandoned answer may be closed by the garbage collector at any moment, also while its thread
        # holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._answers: dict[ConversationLock, Cancellation] = {}
        self._waiting: dict[Cancellation, ConversationLock] = {}
        self._claimed: dict[Cancellation, ExitStack] = {}

    @contextmanager
    def held(
        self, lock: ConversationLock, cancellation: Cancellation, *, seconds: float = STOP_WAIT_SECONDS
    ) -> Iterator[None]:
        """Lock a conversation for an answer; one that was stopped and is being stored is waited for, for `seconds`.

        So is another node, which releases what has ended a moment after the database is back.
        Without a conversation there is nothing to lock.

        Raises:
            CancelledError: `cancellation` was set meanwhile.
            ConflictError: the conversation is being answered already, here or at another node.
            UnavailableError: the database does not answer, or the node that answers has fallen silent.
        """
        if lock.conversation_id:
            self._acquire(lock, cancellation, seconds)
        try:
            if lock.conversation_id and not self._claim_soon(lock, cancellation, min(seconds, CLAIM_WAIT_SECONDS)):
                raise _late() if self._claims.is_late(lock.claim) else _answered_at(self._claims.owner(lock.claim))
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

    def _claim_soon(self, lock: ConversationLock, cancellation: Cancellation, seconds: float) -> bool:
        """Claim a conversation from the other nodes, trying for `seconds`; return whether it is ours."""
        deadline = time.monotonic() + seconds
        while not self._claim(lock, cancellation):
            if time.monotonic() > deadline:
                return False
            if cancellation.event.wait(CLAIM_POLL_SECONDS):
                raise CancelledError(_("The request was cancelled; nothing of it was kept."))
        return True

    def _claim(self, lock: ConversationLock, cancellation: Cancellation) -> bool:
        """Claim a conversation from the other nodes; return whether it is ours."""
        with ExitStack() as claim:
            ours = claim.enter_context(self._claims.held(lock.claim))
            if ours:
                self._claimed[cancellation] = claim.pop_all()
        return ours

    def claim_anew(self) -> None:
        """Claim what is being answered again, after other nodes have taken this one over: what one of them answers
        meanwhile is stopped here.
        """
        with self._changed:
            answers = list(self._answers.items())
        for lock, cancellation in answers:
            self._give_up(cancellation)
            try:
                ours = self._claim(lock, cancellation)
            except MillpondError as error:
                log.warning("an answer is stopped: its conversation may be another node's", reason=error.message)
                ours = False
            if not ours:
                cancellation.cancel()
            with self._changed:
                ended = self._answers.get(lock) is not cancellation
            if ended:
                self._give_up(cancellation)

    def _give_up(self, cancellation: Cancellation) -> None:
        claim = self._claimed.pop(cancellation, None)
        if claim is not None:
            claim.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def release(self, lock: ConversationLock, cancellation: Cancellation) -> None:
        """Unlock a conversation; does nothing if the lock is another answer's, or none."""
        self._give_up(cancellation)  # first: who asks here next must find it free
        with self._changed:
            if self._answers.get(lock) is cancellation:
                del self._answers[lock]
                self._changed.notify_all()
        self._give_up(cancellation)  # what `claim_anew` has claimed in between

    def answered_elsewhere(self, lock: ConversationLock) -> bool:
        """Return whether another node answers in a conversation.

        Raises:
            UnavailableError: the database does not answer.
        """
        with self._changed:
            if lock in self._answers:
                return False
        return bool(self._claims.owner(lock.claim))

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


def _late() -> UnavailableError:
    return UnavailableError(
        _("The node that was answering in this conversation does not respond; nothing was stored."),
        _("Ask again in a few seconds: another node takes its work over."),
    )


def _answered_at(node: str) -> ConflictError:
    return ConflictError(
        _("A question of this conversation is being answered already, at the node {node}.").format(node=node)
        if node
        else _("A question of this conversation is being answered already."),
        _("Wait for that answer or stop it."),
    )
