"""The window of the last k turns: what a conversation holds in RAM.

The whole conversation is on disk. RAM holds at most `WINDOWS` conversations (the least recently used one goes first),
of each at most its last k turns, of each text at most `CHARACTERS` characters: more than a prompt could take.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from services.chat.store import ChatStore
from services.chat.types import AnswerState, Message, Role
from services.held import HeldResource, Owner, object_bytes
from services.reporting import Counted, Reporter, Silent
from services.texts import _

WINDOWS = 64
CHARACTERS = 8000


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: str


class HistoryWindows:
    """The last turns of the conversations in use, read from disk when they are first asked for."""

    def __init__(self, store: ChatStore, windows: int = WINDOWS, *, reporter: Reporter | None = None) -> None:
        self._store = store
        self._reporter = reporter or Silent()
        self._limit = windows
        self._windows: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._lock = threading.Lock()
        self._reads = 0

    def turns(self, conversation_id: str, k: int) -> tuple[Turn, ...]:
        """Return the last `k` turns, oldest first; failed answers are no turns."""
        if k <= 0:
            return ()
        with self._lock:
            window = self._windows.get(conversation_id)
            known = window is not None and window.maxlen == k
            if window is None or not known:
                window = deque(self._read(conversation_id, k), maxlen=k)
                self._reads += 1
                self._windows[conversation_id] = window
            self._windows.move_to_end(conversation_id)
            while len(self._windows) > self._limit:
                self._windows.popitem(last=False)
            turns = tuple(window)
        self._reporter.count(Counted.WINDOW_HITS if known else Counted.WINDOW_MISSES)
        return turns

    def forget(self, conversation_id: str) -> None:
        """Drop a window; the next use reads it again. Called whenever the stored messages have changed."""
        with self._lock:
            self._windows.pop(conversation_id, None)

    def held(self) -> HeldResource:
        """Return how much the windows hold: their texts, and what keeps these together."""
        with self._lock:
            windows = [*self._windows.items()]
            turns = [turn for _id, window in windows for turn in window]
        parts = [self._windows, *(part for window in windows for part in window)]
        size, large = object_bytes([*parts, *turns, *(text for turn in turns for text in (turn.question, turn.answer))])
        return HeldResource(
            name=_("Conversation windows"),
            detail=_("{turns} turns of {conversations} conversations").format(
                turns=len(turns), conversations=len(windows)
            ),
            bytes=size,
            loads=self._reads,
            attributes={"turns": str(len(turns)), "conversations": str(len(windows))},
            owner=Owner.CONVERSATIONS,
            large=large,
        )

    def _read(self, conversation_id: str, k: int) -> list[Turn]:
        turns: list[Turn] = []
        before: int | None = None
        answer: Message | None = None
        page = 2 * k + 8
        while len(turns) < k:
            messages = self._store.newest_messages(conversation_id, page, before)
            for message in reversed(messages):
                if message.role is Role.ASSISTANT:
                    answer = message
                elif answer is not None:
                    if answer.state is not AnswerState.FAILED and answer.text:
                        turns.append(Turn(message.text[:CHARACTERS], answer.text[:CHARACTERS]))
                    answer = None
            if len(messages) < page:
                break
            before = messages[0].id
        return list(reversed(turns[:k]))
