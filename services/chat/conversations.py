"""Conversations and their messages: list, search, create, rename, delete, feedback, export.

A conversation belongs to its person. For everybody else, administrators too, it does not exist.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Literal

from services.chat.answer_masking import masked_conversation, masked_messages
from services.chat.citations import sanitize
from services.chat.excerpts import excerpt
from services.chat.export import as_json, as_markdown
from services.chat.history_window import HistoryWindows, Turn
from services.chat.interruption_store import prepare_answer
from services.chat.quote_store import StoredQuotes
from services.chat.quoted_answer import without_hint
from services.chat.store import ChatStore
from services.chat.types import Conversation, FeedbackReason, FoundConversation, Message, MessageRole
from services.chat.withheld import WithheldAnswers
from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.database import Database
from services.core.document_quotes import ReadableDocuments
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport
from services.core.settings import Settings

TITLE_CHARACTERS = 200
DERIVED_TITLE_CHARACTERS = 60
FEEDBACK_CHARACTERS = 300
MAX_HISTORY_TURNS = 50
_PAGE = 100  # conversations that are listed at once for an export


class Conversations:
    """All conversations: complete in the database; of those in use the last k turns are in RAM."""

    def __init__(self, database: Database, settings: Settings, *, reporter: EventSink | None = None) -> None:
        self._store = ChatStore(database)
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._windows = HistoryWindows(self._store, reporter=self._reporter)
        self._withheld = WithheldAnswers(self._store)
        self.quotes = StoredQuotes(database, self._windows)

    def use_documents(self, documents: ReadableDocuments) -> None:
        """Ask `documents` which of those that answers quote somebody may read."""
        self._withheld.documents = documents

    def create(
        self, actor: Actor, title: str = "", history_turns: int | None = None, collection_ids: Sequence[int] = ()
    ) -> Conversation:
        """Create a conversation; without a title its first question becomes the title."""
        person = _person(actor)
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
        self._store.insert_conversation(conversation, person)
        return conversation

    def conversations(self, actor: Actor, query: str = "", limit: int = 100, offset: int = 0) -> list[Conversation]:
        """Return conversations, the newest activity first, whose title or messages contain `query`."""
        person, words = _person(actor), sanitize(query).strip()
        return self._store.find_conversations(person, words, limit, offset, self._hidden(actor, words))

    def found_conversations(
        self, actor: Actor, query: str = "", limit: int = 100, offset: int = 0
    ) -> list[FoundConversation]:
        """Return what `conversations` does, each with an excerpt of the message in which `query` was found."""
        person, words = _person(actor), sanitize(query).strip()
        hidden = self._hidden(actor, words)
        found = self._store.find_conversations(person, words, limit, offset, hidden)
        texts = self._store.matching_texts([each.id for each in found], words, hidden) if words else {}
        return [
            FoundConversation(
                **{name.name: getattr(each, name.name) for name in fields(each)},
                excerpt=_excerpt(texts.get(each.id, ""), words),
            )
            for each in found
        ]

    def titled(self, actor: Actor, query: str, limit: int = 100) -> list[Conversation]:
        """Return conversations, the newest activity first, whose title contains `query`; no message is read."""
        return self._store.titled(_person(actor), sanitize(query).strip(), limit)

    def _hidden(self, actor: Actor, words: str) -> list[int]:
        """Return the documents by whose answers `actor` finds nothing; none where no words are searched for."""
        if not words or actor.readable() is None:
            return []
        return sorted(self._withheld.hidden(actor, self._store.documents_quoted_to(_person(actor))))

    def conversation(self, actor: Actor, conversation_id: str) -> Conversation:
        """Return one conversation.

        Raises:
            NotFoundError: `actor` has none with this id.
        """
        found = self._store.conversation(conversation_id, _person(actor))
        if found is None:
            raise _no_conversation()
        return found

    def rename(self, actor: Actor, conversation_id: str, title: str) -> Conversation:
        """Set the title of a conversation, 1 to 200 characters."""
        title = _one_line(title)[:TITLE_CHARACTERS]
        if not title:
            raise BadInputError(_("A conversation needs a title."), _("Enter at least one character."))
        return self._update(actor, conversation_id, title=title)

    def set_history_turns(self, actor: Actor, conversation_id: str, k: int) -> Conversation:
        """Set the length k of the history window: turns that go into the prompt and stay in RAM."""
        conversation = self._update(actor, conversation_id, history_turns=_checked_turns(k))
        self._windows.invalidate(conversation_id)
        return conversation

    def set_collections(self, actor: Actor, conversation_id: str, collection_ids: Sequence[int]) -> Conversation:
        """Set which collections are searched; none means all."""
        return self._update(actor, conversation_id, collection_ids=sorted(set(collection_ids)))

    def delete(self, actor: Actor, conversation_id: str) -> None:
        """Delete a conversation with all its messages."""
        if not self._store.delete_conversation(conversation_id, _person(actor)):
            raise _no_conversation()
        self._windows.invalidate(conversation_id)
        self._reporter.event(EventKind.DELETION, _("a conversation"), conversations=1)
        self._reporter.audit(actor, Action.CONVERSATION_DELETED, Target(TargetKind.CONVERSATION, conversation_id))

    def clear(self, actor: Actor, conversation_id: str) -> None:
        """Delete all messages of a conversation, not the conversation."""
        self.conversation(actor, conversation_id)
        with self._store.write() as connection:
            self._store.delete_messages_from(connection, conversation_id, actor.person_id, 0)
        self._windows.invalidate(conversation_id)

    def messages(self, actor: Actor, conversation_id: str, limit: int = 50, before: int | None = None) -> list[Message]:
        """Return the newest `limit` messages (of those before the message id `before`), oldest first.

        Answers that were written from what `actor` may not read any more are withheld.
        """
        self.conversation(actor, conversation_id)
        return self._withheld.messages(actor, self._store.newest_messages(conversation_id, max(1, limit), before))

    def feedback(  # noqa: PLR0917 - all of one answer
        self,
        actor: Actor,
        message_id: int,
        value: int,
        reason: FeedbackReason | None = None,
        text: str = "",
        conversation_id: str = "",
    ) -> None:
        """Store feedback for an answer (of `conversation_id`, where that is given): 1 up, -1 down, 0 none.

        Why it was marked down is kept with -1 alone, `text` as one line of at most 300 characters.
        """
        person = _person(actor)
        if value not in {-1, 0, 1}:
            raise BadInputError(_("Feedback is -1, 0 or 1."), _("Send one of these values."))
        why = (reason or "", _one_line(text)[:FEEDBACK_CHARACTERS].rstrip()) if value < 0 else ("", "")
        if not 0 < message_id < 2**63 or not self._store.set_feedback(message_id, person, value, *why, conversation_id):
            raise NotFoundError(_("There is no such answer."), _("It may have been replaced; reload the page."))

    def export(self, actor: Actor, conversation_id: str, form: Literal["markdown", "json"] = "markdown") -> str:
        """Return the whole conversation as Markdown (document text and names are escaped) or JSON.

        With the setting `mask_exports` personal data and secrets in it are masked.
        """
        conversation = self.conversation(actor, conversation_id)
        self._reporter.audit(actor, Action.EXPORT, Target(TargetKind.CONVERSATION, conversation_id), detail=form)
        messages: Iterable[Message] = self._withheld.each(actor, self._store.iter_messages(conversation_id))
        if self._settings.mask_exports:
            conversation, messages = masked_conversation(conversation), masked_messages(messages)
        if form == "markdown":
            return as_markdown(conversation, messages)
        if form == "json":
            return as_json(conversation, messages)
        raise BadInputError(_("A conversation is exported as Markdown or JSON."), _("Choose one of the two."))

    def export_all(self, actor: Actor, form: Literal["markdown", "json"] = "json") -> Iterator[tuple[str, str]]:
        """Yield the id and the export of each conversation of `actor`, one in RAM at a time."""
        offset = 0
        while found := self.conversations(actor, limit=_PAGE, offset=offset):
            for each in found:
                yield each.id, self.export(actor, each.id, form)
            offset += _PAGE

    # People

    def hand_over(self, person_id: int) -> int:
        """Give the conversations of the time without accounts to a person; return how many there were.

        The first administrator gets them: before there was an account, everybody read them.
        """
        return self._store.hand_over(person_id)

    def erase_person(self, person_id: int) -> int:
        """Erase all conversations of a person who is deleted; return how many there were."""
        erased = self._store.delete_conversations_of(person_id)
        for conversation_id in erased:
            self._windows.invalidate(conversation_id)
        if erased:
            text = plural("{count} conversation of a person", "{count} conversations of a person", len(erased))
            self._reporter.event(EventKind.DELETION, text, conversations=len(erased))
        return len(erased)

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

    def turns(self, actor: Actor, conversation: Conversation, *, without_last: bool = False) -> tuple[Turn, ...]:
        """Return the last k turns of a conversation, as far as `actor` may read them."""
        self.conversation(actor, conversation.id)
        turns = self._windows.turns(conversation.id, conversation.history_turns)
        return self._withheld.turns(actor, turns[:-1] if without_last else turns)

    def last_question(self, actor: Actor, conversation_id: str) -> tuple[Message, Message | None]:
        """Return the last question and its answer as it is stored, None if it has none; not to be shown.

        Raises:
            ConflictError: nothing was asked yet.
        """
        self.conversation(actor, conversation_id)
        question: Message | None = None
        answer: Message | None = None
        for message in self._store.newest_messages(conversation_id, 4):
            if message.role is MessageRole.USER:
                question, answer = message, None
            else:
                answer = message
        if question is None:
            raise ConflictError(_("Nothing was asked in this conversation yet."), _("Ask a question first."))
        return question, answer

    def record_stop(self, actor: Actor, conversation_id: str) -> None:
        """Have the node that answers in a conversation stop."""
        self.conversation(actor, conversation_id)
        self._store.record_stop(conversation_id, actor.person_id)

    def add_question(self, actor: Actor, message: Message) -> Message:
        """Store a question; the first one names the conversation."""
        with self._store.write() as connection:
            stored = self._store.insert_message(connection, message, _person(actor))
            if stored is None:
                raise _no_conversation()
            self._store.replace_title(connection, message.conversation_id, "", title_of(message.text))
        return stored

    def replace_question(self, actor: Actor, old: Message, message: Message) -> Message:
        """Replace the question `old` and what follows it by `message`; a title derived from `old` is replaced too."""
        stored = self.replace_from(actor, old.id, message, former_title=title_of(old.text))
        if not stored.id:
            raise _no_conversation()
        return stored

    def replace_from(
        self,
        actor: Actor,
        first_id: int | None,
        message: Message,
        *,
        question: str = "",
        former_title: str = "",
        last_id: int = 0,
    ) -> Message:
        """Replace the messages from `first_id` on by `message` (None: append it), in one transaction.

        With `question`, an appended answer extends the history window; otherwise the window is read again at its next
        use. With `former_title`, a conversation of that title is named after `message`. A conversation that was deleted
        meanwhile stays deleted, and with `last_id`, its last message when the answer began, one in which that is gone
        or was answered by another node stays as it is; the message returned has the id 0 then.
        """
        person = _person(actor)
        stored: Message | None = None
        with self._store.write() as connection:
            if not last_id or prepare_answer(connection, message.conversation_id, last_id):
                if first_id is not None:
                    self._store.delete_messages_from(connection, message.conversation_id, person, first_id)
                stored = self._store.insert_message(connection, message, person)
            if stored is not None and former_title:
                title = title_of(message.text)
                self._store.replace_title(connection, message.conversation_id, former_title, title)
        if stored is not None and first_id is None and question:
            self._windows.add(message.conversation_id, question, stored)
        else:
            self._windows.invalidate(message.conversation_id)
        return stored or replace(message, id=0)

    def _update(self, actor: Actor, conversation_id: str, **values: object) -> Conversation:
        if not self._store.update_conversation(conversation_id, _person(actor), **values):
            raise _no_conversation()
        return self.conversation(actor, conversation_id)


def _person(actor: Actor) -> int | None:
    """Return whose conversations `actor` has: those of their account, without one those of the time before accounts.

    Raises:
        ForbiddenError: `actor` may not ask questions.
    """
    actor.require(Permission.ASK, _("Keep conversations"))
    return actor.person_id


def _excerpt(text: str, words: str) -> str:
    # What stands below so many answers is shown only if it is what was searched for.
    return excerpt(without_hint(text), words) or excerpt(text, words)


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
