"""A conversation as a file: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from services.chat.types import AnswerState, Citation, Conversation, Message, Role
from services.texts import _


def as_json(conversation: Conversation, messages: Iterable[Message]) -> str:
    """Return the conversation with everything that is stored of it; times in ISO 8601, UTC."""
    value = {**asdict(conversation), "messages": [asdict(message) for message in messages]}
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n"


def as_markdown(conversation: Conversation, messages: Iterable[Message]) -> str:
    """Return the conversation for reading. HTML in texts and names is escaped: a viewer shows it, not renders it."""
    lines = [f"# {_escaped(conversation.title) or _('Conversation')}", ""]
    for message in messages:
        who = _("Question") if message.role is Role.USER else _("Answer")
        model = f" ({_escaped(message.model)})" if message.model else ""
        lines += [f"## {who}{model}", "", _escaped(message.text), ""]
        if message.state is AnswerState.STOPPED:
            lines += [f"*{_('This answer was stopped.')}*", ""]
        if message.error:
            lines += [f"*{_escaped(message.error)} {_escaped(message.hint)}*", ""]
        if message.citations:
            lines += [_citation(citation) for citation in message.citations]
            lines.append("")
    return "\n".join(lines)


def _citation(citation: Citation) -> str:
    place = [_escaped(citation.document)]
    if citation.page is not None:
        place.append(_("page {page}").format(page=citation.page))
    if citation.sheet:
        place.append(_("sheet {sheet}").format(sheet=_escaped(citation.sheet)))
    quote = f": “{_escaped(' '.join(citation.quote.split()))}”" if citation.quote else ""
    return f"- [{citation.number}] {', '.join(place)}{quote}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
