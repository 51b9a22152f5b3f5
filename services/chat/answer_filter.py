"""All filters over the text that a chat model streams: reasoning, lists of sources, citation marks."""

from __future__ import annotations

from services.chat.citations import CitationFilter, sanitize
from services.chat.source_headings import SourceHeadings
from services.core.i18n import _

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


class ReasoningFilter:
    """Drops one `<think>...</think>` at the beginning of a stream, however the stream cuts it."""

    def __init__(self) -> None:
        self._buffer = ""
        self._in_reasoning = False
        self._in_answer = False

    def feed(self, text: str) -> str:
        """Add streamed text; return the part that belongs to the answer."""
        if self._in_answer:
            return text
        self._buffer += text
        if not self._in_reasoning:
            begin = self._buffer.lstrip()
            if len(begin) < len(THINK_OPEN) and THINK_OPEN.startswith(begin):
                return ""
            if not begin.startswith(THINK_OPEN):
                return self._answer(self._buffer)
            self._in_reasoning = True
        end = self._buffer.find(THINK_CLOSE)
        if end < 0:
            self._buffer = self._buffer[-len(THINK_CLOSE) :]  # may hold the start of the closing tag
            return ""
        return self._answer(self._buffer[end + len(THINK_CLOSE) :])

    def flush(self) -> str:
        """Return the buffered rest at the end of the stream: text that looked like the start of the opening tag."""
        return "" if self._in_answer or self._in_reasoning else self._answer(self._buffer)

    def _answer(self, text: str) -> str:
        self._in_answer = True
        self._buffer = ""
        return text


class AnswerFilter:
    """All filters over a model's text in their order; an answer that is JSON keeps its brackets."""

    def __init__(self, passages: int, *, structured: bool = False) -> None:
        self._reasoning = ReasoningFilter()
        self._headings = None if structured else SourceHeadings(_("the chat model's words, not Millpond's list"))
        self._citations = None if structured else CitationFilter(passages)

    def feed(self, text: str) -> str:
        """Add streamed text; return what can be shown now."""
        return self._marks(self._reasoning.feed(sanitize(text)))

    def flush(self) -> str:
        """Return the buffered rest at the end of the stream."""
        if self._headings is None or self._citations is None:
            return self._reasoning.flush()
        text = self._headings.feed(self._reasoning.flush()) + self._headings.flush()
        return self._citations.feed(text) + self._citations.flush()

    def _marks(self, text: str) -> str:
        if self._headings is None or self._citations is None:
            return text
        return self._citations.feed(self._headings.feed(text))
