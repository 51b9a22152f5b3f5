"""Stored answers as their reader may see them now: what was written from a document that they may not read is withheld.

An answer may repeat a document in other words, so the whole answer is withheld, as it would be erased with a document
(`quote_store.py`). It stays stored: with the right it comes back. The question is the person's own and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from services.chat.history_window import Turn
from services.chat.store import ChatStore
from services.chat.types import Citation, Message
from services.core.actor import AccessLevel, Actor
from services.core.document_quotes import AllReadable, ReadableDocuments
from services.core.i18n import _

_BATCH = 200


class WithheldAnswers:
    """Withholds what `actor` may not read; whoever may read everything gets everything as it is. Thread-safe."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store
        self.documents: ReadableDocuments = AllReadable()

    def messages(self, actor: Actor, messages: Sequence[Message]) -> list[Message]:
        """Return messages as `actor` may see them."""
        if actor.readable() is None:
            return list(messages)
        hidden = self.hidden(actor, {each.document_id for message in messages for each in message.citations})
        return [_shown(message, hidden) for message in messages] if hidden else list(messages)

    def each(self, actor: Actor, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield messages as `actor` may see them, a few hundred in RAM at a time."""
        source = iter(messages)
        while batch := list(islice(source, _BATCH)):
            yield from self.messages(actor, batch)

    def turns(self, actor: Actor, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Return the turns whose answers `actor` may read: a model sees no others."""
        if actor.readable() is None:
            return turns
        hidden = self.hidden(actor, {document for turn in turns for document in turn.documents})
        return tuple(turn for turn in turns if hidden.isdisjoint(turn.documents))

    def hidden(self, actor: Actor, document_ids: Collection[int]) -> set[int]:
        """Return those of these documents that `actor` may not read; deleted ones by the collection they were in."""
        if not document_ids or actor.readable() is None:
            return set()
        hidden = self.documents.unreadable(actor, document_ids)
        homes = self._store.homes_of_deleted(hidden)
        return {each for each in hidden if each not in homes or actor.level(homes[each]) < AccessLevel.READ}


def _shown(message: Message, hidden: Collection[int]) -> Message:
    if all(citation.document_id not in hidden for citation in message.citations):
        return message
    citations = tuple(_unnamed(each) if each.document_id in hidden else each for each in message.citations)
    text = _("This answer was written from a document that you may not read now; it is shown again when you may.")
    return replace(message, text=text, citations=citations, corrections=())


def _unnamed(citation: Citation) -> Citation:
    """Return a citation without anything of its document."""
    return Citation(
        citation.number, 0, 0, _("a document that is not available to you"), cited=citation.cited, withheld=True
    )
