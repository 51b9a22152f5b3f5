"""History windows: the last k turns of the conversations in use, in RAM.

The whole conversation is on disk. RAM holds at most `MAX_WINDOWS` windows (the least recently used is evicted), of each
text at most `MAX_TEXT_CHARACTERS`, more than a prompt could take, and at most `MAX_TOTAL_CHARACTERS` in all. Where
several nodes serve RAM holds none: each of them is read for each question, as another node may have changed it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.chat.citations import sanitize
from services.chat.store import ChatStore
from services.chat.types import AnswerState, Message, MessageRole
from services.core.events import Counter, EventSink, NullEventSink
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport, Owner, object_bytes

MAX_WINDOWS = 64
MAX_TEXT_CHARACTERS = 8000
MAX_TOTAL_CHARACTERS = 4_000_000  # 4 to 16 MB


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer, with the documents that it was written from."""

    question: str
    answer: str
    documents: tuple[int, ...] = ()


class HistoryWindows:
    """The history windows of the conversations in use, read from disk at their first use. Thread-safe."""

    def __init__(self, store: ChatStore, windows: int = MAX_WINDOWS, *, reporter: EventSink | None = None) -> None:
        self._store = store
        self._reporter = reporter or NullEventSink()
        self._limit = windows
        self._windows: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._used: dict[str, float] = {}  # by `time.monotonic`; as many as windows
        self._lock = threading.Lock()
        self._reads = 0

    def turns(self, conversation_id: str, k: int) -> tuple[Turn, ...]:
        """Return the last `k` turns, oldest first; failed answers are no turns."""
        if k <= 0:
            return ()
        if self._store.several_nodes:
            self._reporter.count(Counter.WINDOW_MISSES)
            return tuple(self._read(conversation_id, k))
        with self._lock:
            window = self._windows.get(conversation_id)
            known = window is not None and window.maxlen == k
            if window is None or not known:
                window = deque(self._read(conversation_id, k), maxlen=k)
                self._reads += 1
                self._windows[conversation_id] = window
            self._windows.move_to_end(conversation_id)
            self._used[conversation_id] = time.monotonic()
            self._shrink()
            turns = tuple(window)
        self._reporter.count(Counter.WINDOW_HITS if known else Counter.WINDOW_MISSES)
        return turns

    def add(self, conversation_id: str, question: str, answer: Message) -> None:
        """Append a turn that was just stored to its window, if that is in RAM."""
        if not _is_turn(answer):
            return
        with self._lock:
            window = self._windows.get(conversation_id)
            if window is not None:
                window.append(_turn(question, answer))
                self._windows.move_to_end(conversation_id)
                self._shrink()

    def invalidate(self, conversation_id: str) -> None:
        """Drop a window: stored messages were deleted or replaced. Its next use reads it again."""
        with self._lock:
            self._drop(conversation_id)

    def idle(self, seconds: float) -> tuple[int, int]:
        """Return (count, bytes) of the windows unused for `seconds`."""
        with self._lock:
            windows = [self._windows[name] for name in self._unused(seconds)]
        return len(windows), _bytes_of(windows)[0]

    def release_idle(self, seconds: float) -> tuple[int, int]:
        """Drop the windows unused for `seconds`; their next use reads them from disk. Return (count, bytes)."""
        with self._lock:
            dropped = [self._drop(name) for name in self._unused(seconds)]
        windows = [window for window in dropped if window is not None]
        return len(windows), _bytes_of(windows)[0]

    def _shrink(self) -> None:
        sizes = {name: _characters(window) for name, window in self._windows.items()}
        excess = sum(sizes.values()) - MAX_TOTAL_CHARACTERS
        while len(self._windows) > 1 and (len(self._windows) > self._limit or excess > 0):
            name = next(iter(self._windows))
            self._drop(name)
            excess -= sizes[name]

    def _unused(self, seconds: float) -> list[str]:
        before = time.monotonic() - seconds
        return [name for name in self._windows if self._used.get(name, 0.0) <= before]

    def _drop(self, conversation_id: str) -> deque[Turn] | None:
        self._used.pop(conversation_id, None)
        return self._windows.pop(conversation_id, None)

    def memory_report(self) -> MemoryReport:
        """Return the bytes of the windows: texts, containers and names."""
        with self._lock:
            windows = [*self._windows.values()]
            names = [*self._windows]
        turns = [turn for window in windows for turn in window]
        size, large = _bytes_of(windows)
        own, own_large = object_bytes([self._windows, self._used, *names])
        size, large = size + own, large + own_large
        return MemoryReport(
            name=_("Conversation windows"),
            detail=_("{turns} of {conversations}").format(
                turns=plural("{count} turn", "{count} turns", len(turns)),
                conversations=plural("{count} conversation", "{count} conversations", len(windows)),
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
                if message.role is MessageRole.ASSISTANT:
                    answer = message
                elif answer is not None:
                    if _is_turn(answer):
                        turns.append(_turn(message.text, answer))
                    answer = None
            if len(messages) < page:
                break
            before = messages[0].id
        return list(reversed(turns[:k]))


def _is_turn(answer: Message) -> bool:
    return answer.state is not AnswerState.FAILED and bool(answer.text)


def _turn(question: str, answer: Message) -> Turn:
    documents = tuple(dict.fromkeys(citation.document_id for citation in answer.citations))
    return Turn(question[:MAX_TEXT_CHARACTERS], answer.text[:MAX_TEXT_CHARACTERS], documents)


def _characters(window: deque[Turn]) -> int:
    return sum(len(turn.question) + len(turn.answer) for turn in window)


def _bytes_of(windows: Sequence[deque[Turn]]) -> tuple[int, int]:
    """Return the bytes of windows with their turns and texts, and the part that malloc allocated."""
    turns = [turn for window in windows for turn in window]
    return object_bytes([*windows, *turns, *(text for turn in turns for text in (turn.question, turn.answer))])


def turns_from_messages(messages: Sequence[tuple[MessageRole, str]]) -> list[Turn]:
    """Return the turns among a client's messages; questions without an answer are skipped."""
    turns: list[Turn] = []
    question = ""
    for role, text in messages:
        if role is MessageRole.USER:
            question = text
        elif question:
            turns.append(Turn(sanitize(question)[:MAX_TEXT_CHARACTERS], sanitize(text)[:MAX_TEXT_CHARACTERS]))
            question = ""
    return turns
