"""Conversations and their messages: list, search, create, rename, delete, feedback; export as Markdown and JSON; one
answer at a time in each.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Literal

from services.chat.citations import sanitize
from services.chat.history_window import HistoryWindows, Turn
from services.chat.quote_store import StoredQuotes
from services.chat.store import ChatStore
from services.chat.types import AnswerState, Citation, Conversation, FinishReason, Message, MessageRole
from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.core.requests.request import Cancellation
from services.core.settings import Settings

TITLE_CHARACTERS = 200
DERIVED_TITLE_CHARACTERS = 60
MAX_HISTORY_TURNS = 50
STOP_WAIT_SECONDS = 2.0  # a question waits so long for a stopped answer to be stored


class Conversations:
    """All conversations: complete in the database; of those in use the last k turns are in RAM."""

    def __init__(self, database: Database, settings: Settings, *, reporter: EventSink | None = None) -> None:
        self._store = ChatStore(database)
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._windows = HistoryWindows(self._store, reporter=self._reporter)
        self.quotes = StoredQuotes(database, self._windows)

    def create(
        self, title: str = "", history_turns: int | None = None, collection_ids: Sequence[int] = ()
    ) -> Conversation:
        """Create a conversation; without a title its first question becomes the title."""
        now = datetime.now(UTC)
        turns = self._settings.history_turns if history_turns is None else history_turns
        conversation = Conversation(
            id=secrets.token_hex(8),
            title=_one_line(title)[:TITLE_CHARACTERS],
            created_at=now,
            updated_at=now,
            messages=0,
            history_turns=_checked_turns(turns),
            collection_ids=tuple(sorted(set(collection_ids))),
        )
        self._store.insert_conversation(conversation)
        return conversation

    def conversations(self, query: str = "", limit: int = 100, offset: int = 0) -> list[Conversation]:
        """Return conversations, the newest activity first, whose title or messages contain `query`."""
        return self._store.find_conversations(sanitize(query).strip(), limit, offset)

    def conversation(self, conversation_id: str) -> Conversation:
        """Return one conversation.

        Raises:
            NotFoundError: there is none with this id.
        """
        found = self._store.conversation(conversation_id)
        if found is None:
            raise _no_conversation()
        return found

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Set the title of a conversation, 1 to 200 characters."""
        title = _one_line(title)[:TITLE_CHARACTERS]
        if not title:
            raise BadInputError(_("A conversation needs a title."), _("Enter at least one character."))
        return self._update(conversation_id, title=title)

    def set_history_turns(self, conversation_id: str, k: int) -> Conversation:
        """Set the length k of the history window: turns that go into the prompt and stay in RAM."""
        conversation = self._update(conversation_id, history_turns=_checked_turns(k))
        self._windows.invalidate(conversation_id)
        return conversation

    def set_collections(self, conversation_id: str, collection_ids: Sequence[int]) -> Conversation:
        """Set which collections are searched; none means all."""
        return self._update(conversation_id, collection_ids=sorted(set(collection_ids)))

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation with all its messages."""
        if not self._store.delete_conversation(conversation_id):
            raise _no_conversation()
        self._windows.invalidate(conversation_id)
        self._reporter.event(EventKind.DELETION, _("a conversation"), conversations=1)

    def clear(self, conversation_id: str) -> None:
        """Delete all messages of a conversation, not the conversation."""
        self.conversation(conversation_id)
        with self._store.write() as connection:
            self._store.delete_messages_from(connection, conversation_id, 0)
        self._windows.invalidate(conversation_id)

    def messages(self, conversation_id: str, limit: int = 50, before: int | None = None) -> list[Message]:
        """Return the newest `limit` messages (of those before the message id `before`), oldest first."""
        self.conversation(conversation_id)
        return self._store.newest_messages(conversation_id, max(1, limit), before)

    def feedback(self, message_id: int, value: int) -> None:
        """Store feedback for an answer: 1 up, -1 down, 0 none."""
        if value not in {-1, 0, 1}:
            raise BadInputError(_("Feedback is -1, 0 or 1."), _("Send one of these values."))
        if not 0 < message_id < 2**63 or not self._store.set_feedback(message_id, value):
            raise NotFoundError(_("There is no such answer."), _("It may have been replaced; reload the page."))

    def export(self, conversation_id: str, form: Literal["markdown", "json"] = "markdown") -> str:
        """Return the whole conversation as Markdown (document text and names are escaped) or JSON."""
        conversation = self.conversation(conversation_id)
        messages = self._store.iter_messages(conversation_id)
        if form == "markdown":
            return as_markdown(conversation, messages)
        if form == "json":
            return as_json(conversation, messages)
        raise BadInputError(_("A conversation is exported as Markdown or JSON."), _("Choose one of the two."))

    def memory_report(self) -> MemoryReport:
        """Return the RAM that the history windows take."""
        return self._windows.memory_report()

    def idle(self, seconds: float) -> tuple[int, int]:
        """Return (count, bytes) of the history windows unused for `seconds`."""
        return self._windows.idle(seconds)

    def release_idle(self, seconds: float) -> tuple[int, int]:
        """Drop the windows unused for `seconds` from RAM, not from disk; return (count, bytes)."""
        return self._windows.release_idle(seconds)

    # For the answer service

    def turns(self, conversation: Conversation) -> tuple[Turn, ...]:
        """Return the last k turns of a conversation."""
        return self._windows.turns(conversation.id, conversation.history_turns)

    def last_question(self, conversation_id: str) -> tuple[Message, Message | None]:
        """Return the last question and its answer, None if it has none.

        Raises:
            ConflictError: nothing was asked yet.
        """
        question: Message | None = None
        answer: Message | None = None
        for message in self.messages(conversation_id, limit=4):
            if message.role is MessageRole.USER:
                question, answer = message, None
            else:
                answer = message
        if question is None:
            raise ConflictError(_("Nothing was asked in this conversation yet."), _("Ask a question first."))
        return question, answer

    def add_question(self, message: Message) -> Message:
        """Store a question; the first one names the conversation."""
        with self._store.write() as connection:
            stored = self._store.insert_message(connection, message)
            if stored is None:
                raise _no_conversation()
            self._store.replace_title(connection, message.conversation_id, "", title_of(message.text))
        return stored

    def replace_question(self, old: Message, message: Message) -> Message:
        """Replace the question `old` and what follows it by `message`; a title derived from `old` is replaced too."""
        stored = self.replace_from(old.id, message, former_title=title_of(old.text))
        if not stored.id:
            raise _no_conversation()
        return stored

    def replace_from(
        self, first_id: int | None, message: Message, *, question: str = "", former_title: str = ""
    ) -> Message:
        """Replace the messages from `first_id` on by `message` (None: append it), in one transaction.

        With `question`, an appended answer extends the history window; otherwise the window is read again at its next
        use. With `former_title`, a conversation of that title is named after `message`. A conversation that was deleted
        meanwhile stays deleted; the message returned has the id 0 then.
        """
        with self._store.write() as connection:
            if first_id is not None:
                self._store.delete_messages_from(connection, message.conversation_id, first_id)
            stored = self._store.insert_message(connection, message)
            if former_title:
                title = title_of(message.text)
                self._store.replace_title(connection, message.conversation_id, former_title, title)
        if stored is not None and first_id is None and question:
            self._windows.add(message.conversation_id, question, stored)
        else:
            self._windows.invalidate(message.conversation_id)
        return stored or replace(message, id=0)

    def _update(self, conversation_id: str, **values: object) -> Conversation:
        if not self._store.update_conversation(conversation_id, **values):
            raise _no_conversation()
        return self.conversation(conversation_id)


def title_of(question: str) -> str:
    """Return a title for a conversation that begins with `question`: one line, cut between words."""
    line = _one_line(question)
    if len(line) <= DERIVED_TITLE_CHARACTERS:
        return line
    cut = line[:DERIVED_TITLE_CHARACTERS]
    shorter = cut.rsplit(" ", 1)[0]
    return (shorter if len(shorter) > DERIVED_TITLE_CHARACTERS // 2 else cut) + "…"


def _one_line(text: str) -> str:
    # Control and format characters (right-to-left marks among them) could disguise a title.
    visible = "".join(c if unicodedata.category(c) not in {"Cc", "Cf", "Cs"} else " " for c in text)
    return re.sub(r"\s+", " ", visible).strip()


def _checked_turns(turns: int) -> int:
    if not 0 <= turns <= MAX_HISTORY_TURNS:
        raise BadInputError(
            _("The history window is from 0 to {most} turns.").format(most=MAX_HISTORY_TURNS),
            _("Choose a smaller number."),
        )
    return turns


def _no_conversation() -> NotFoundError:
    return NotFoundError(_("There is no such conversation."), _("It may have been deleted; choose another one."))


def as_json(conversation: Conversation, messages: Iterable[Message]) -> str:
    """Return a conversation with all stored fields; times in ISO 8601, UTC."""
    value = {**asdict(conversation), "messages": [asdict(message) for message in messages]}
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n"


def as_markdown(conversation: Conversation, messages: Iterable[Message]) -> str:
    """Return a conversation as Markdown: what people, models and documents wrote is quoted (`>`), the rest is ours.

    HTML in texts and names is escaped, so that viewers do not render it.
    """
    lines = [f"# {_escaped_name(conversation.title) or _('Conversation')}", ""]
    for message in messages:
        who = _("Question") if message.role is MessageRole.USER else _("Answer")
        model = f" ({_escaped_name(message.model)})" if message.model else ""
        lines += [f"## {who}{model}", "", *_quoted(message.text), ""]
        if message.state is AnswerState.STOPPED:
            lines += [f"*{_('This answer was stopped.')}*", ""]
        if cut := cut_words(message.finish_reason):
            lines += [f"*{cut}*", ""]
        if message.error:
            lines += [f"*{_escaped(message.error)} {_escaped(message.hint)}*", ""]
        if message.citations:
            cited = any(citation.cited for citation in message.citations)
            title = _("Sources") if cited else _("Retrieved for this answer, not cited")
            lines += [f"### {title}", "", *(_citation(citation) for citation in message.citations), ""]
    return "\n".join(lines)


def cut_words(reason: FinishReason) -> str:
    """Return how an answer was cut and what to do, "" for one that is whole."""
    return {
        FinishReason.LENGTH: _(
            "The chat model stopped at its limit of length: the answer is cut. Ask for less at once, or for the rest."
        ),
        FinishReason.CONTENT_FILTER: _(
            "The chat server's content filter cut the answer. Word the question differently, or choose another model."
        ),
    }.get(reason, "")


def _citation(citation: Citation) -> str:
    place = [_escaped_name(citation.document)]
    if citation.page is not None:
        place.append(_("page {page}").format(page=citation.page))
    if citation.sheet:
        place.append(_("sheet {sheet}").format(sheet=_escaped_name(citation.sheet)))
    if citation.deleted:
        place.append(_("deleted since"))
    quote = f": “{_escaped_name(' '.join(citation.quote.split()))}”" if citation.quote else ""
    return f"- [{citation.number}] {', '.join(place)}{quote}"


def _quoted(text: str) -> list[str]:
    """Return a text's lines as a quotation: nothing in it can look like a heading or a source of the export."""
    return [f"> {_escaped(line)}".rstrip() for line in text.splitlines()] or [">"]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped_name(text: str) -> str:
    """Return a name or quote outside of a quotation, in which nothing becomes a link or a citation."""
    return re.sub(r"([\\\[\]])", r"\\\1", _escaped(text))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


class ConversationLocks:
    """Which conversations are being answered, and how each answer is stopped. Thread-safe."""

    def __init__(self) -> None:
        # Reentrant: an abandoned answer may be closed by the garbage collector at any moment, also while its thread
        # holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._answers: dict[str, Cancellation] = {}

    def acquire(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Lock a conversation for an answer; an answer that was stopped and is being stored is waited for.

        Raises:
            ConflictError: the conversation is being answered already.
        """
        with self._changed:
            current = self._answers.get(conversation_id)
            if current is not None and current.event.is_set():
                self._changed.wait_for(lambda: self._answers.get(conversation_id) is not current, STOP_WAIT_SECONDS)
            if conversation_id in self._answers:
                raise ConflictError(
                    _("A question of this conversation is being answered already."),
                    _("Wait for that answer or stop it."),
                )
            self._answers[conversation_id] = cancellation

    def release(self, conversation_id: str, cancellation: Cancellation) -> None:
        """Unlock a conversation; does nothing if the lock is another answer's, or none."""
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
