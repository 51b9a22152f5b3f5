"""What reasoning models write before their answer is not part of it."""

from __future__ import annotations

OPENING = "<think>"
CLOSING = "</think>"


class ThinkingFilter:
    """Drops one `<think>...</think>` at the beginning of a stream, however the stream cuts it."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._answering = False

    def feed(self, text: str) -> str:
        """Return what belongs to the answer."""
        if self._answering:
            return text
        self._held += text
        if not self._thinking:
            begin = self._held.lstrip()
            if len(begin) < len(OPENING) and OPENING.startswith(begin):
                return ""
            if not begin.startswith(OPENING):
                return self._answer(self._held)
            self._thinking = True
        end = self._held.find(CLOSING)
        if end < 0:
            self._held = self._held[-len(CLOSING) :]  # what could be the beginning of the end
            return ""
        return self._answer(self._held[end + len(CLOSING) :])

    def flush(self) -> str:
        """Return what was held back because it looked like the beginning of a thought; nothing comes after it."""
        return "" if self._answering or self._thinking else self._answer(self._held)

    def _answer(self, text: str) -> str:
        self._answering = True
        self._held = ""
        return text
