"""Personal data and secrets masked in answers and what they quote (`mask_answers`), and in exports (`mask_exports`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.chat.types import Citation, Conversation, Message, Retrieved
from services.core.masking import StreamMask, mask


class AnswerMask:
    """Masks one answer while it is streamed; what may still become a number or a key is held back for some words."""

    def __init__(self) -> None:
        self._stream = StreamMask()

    def feed(self, text: str, *, last: bool = False) -> str:
        """Add text; return what can be shown now, at the end (`last`) all that is left."""
        shown = self._stream.feed(text)
        return shown + self._stream.flush() if last else shown

    @staticmethod
    def retrieved(event: Retrieved) -> Retrieved:
        """Return the event with its quotes masked."""
        return replace(event, citations=masked_citations(event.citations))


def masked_citations(citations: Iterable[Citation]) -> tuple[Citation, ...]:
    """Return citations with their quotes, and the names of documents and headings, masked."""
    return tuple(
        replace(
            each,
            document=mask(each.document),
            sheet=mask(each.sheet),
            heading=tuple(map(mask, each.heading)),
            quote=mask(each.quote),
        )
        for each in citations
    )


def masked_conversation(conversation: Conversation) -> Conversation:
    """Return a conversation with its title masked."""
    return replace(conversation, title=mask(conversation.title))


def masked_messages(messages: Iterable[Message]) -> Iterable[Message]:
    """Yield messages with all their texts masked, questions and answers."""
    for message in messages:
        yield replace(
            message,
            text=mask(message.text),
            error=mask(message.error),
            hint=mask(message.hint),
            citations=masked_citations(message.citations),
            corrections=tuple((mask(typed), mask(read)) for typed, read in message.corrections),
            feedback_text=mask(message.feedback_text),
        )
