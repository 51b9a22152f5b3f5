"""Conversations as Markdown and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

from services.chat.types import AnswerState, Citation, Conversation, FinishReason, Message, MessageRole
from services.core.i18n import _


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
            lines += [
                f"### {_title(message.citations)}",
                "",
                *(_citation(citation) for citation in message.citations),
                "",
            ]
    return "\n".join(lines)


def as_text(text: str, citations: Sequence[Citation]) -> str:
    """Return an answer with its sources as plain text, for pasting it elsewhere; nothing is escaped."""
    if not citations:
        return text
    sources = [f"[{each.number}] {', '.join(_place(each, plainly=True))}" for each in citations]
    return "\n".join([text, "", _title(citations), *sources])


def _title(citations: Sequence[Citation]) -> str:
    cited = any(citation.cited for citation in citations)
    return _("Sources") if cited else _("Retrieved for this answer, not cited")


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
    place = ", ".join(_place(citation))
    if citation.withheld:
        return f"- [{citation.number}] {place}"
    quote = f": “{_escaped_name(' '.join(citation.quote.split()))}”" if citation.quote else ""
    return f"- [{citation.number}] {place}{quote}"


def _place(citation: Citation, *, plainly: bool = False) -> list[str]:
    """Return the document of a citation and where in it, `plainly` without escapes; of one that is withheld no more."""

    def named(text: str) -> str:
        return " ".join(text.split()) if plainly else _escaped_name(text)

    place = [named(citation.document)]
    if citation.withheld:
        return place
    if citation.page is not None:
        place.append(_("page {page}").format(page=citation.page))
    if citation.sheet:
        place.append(_("sheet {sheet}").format(sheet=named(citation.sheet)))
    if citation.deleted:
        place.append(_("deleted since"))
    return place


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
