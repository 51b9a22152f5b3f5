"""Limits of an answer's text that a client asks for: words to stop at, and a number of tokens."""

from __future__ import annotations

from collections.abc import Callable

from services.chat.types import FinishReason


class TextLimit:
    """Cuts a stream of text; what could still become a word to stop at is held back until the next piece."""

    def __init__(self, stop: tuple[str, ...], max_tokens: int | None, count: Callable[[str], int]) -> None:
        """Cut before the first of `stop`, or after `max_tokens` as `count` counts them."""
        self._stop = tuple(word for word in stop if word)
        self._max_tokens = max_tokens
        self._count = count
        self._sent = ""
        self._buffer = ""

    def feed(self, text: str, *, count_tokens: bool, last: bool = False) -> tuple[str, FinishReason | None]:
        """Add text; return what can be shown now, and why the answer ends with it, None if it does not."""
        self._buffer += text
        reason = None
        found = [at for at in (self._buffer.find(word) for word in self._stop) if at >= 0]
        if found:
            shown, self._buffer, reason = self._buffer[: min(found)], "", FinishReason.STOP
        else:
            held = 0 if last else self._unfinished()
            shown, self._buffer = self._buffer[: len(self._buffer) - held], self._buffer[len(self._buffer) - held :]
        if count_tokens and self._max_tokens is not None and self._count(self._sent + shown) > self._max_tokens:
            shown, reason = self._fitting(shown), FinishReason.LENGTH
        self._sent += shown
        return shown, reason

    def _unfinished(self) -> int:
        """Return how many characters at the end may be the beginning of a word to stop at."""
        longest = max(map(len, self._stop), default=0)
        sizes = range(min(longest - 1, len(self._buffer)), 0, -1)
        return next((n for n in sizes if any(word.startswith(self._buffer[-n:]) for word in self._stop)), 0)

    def _fitting(self, text: str) -> str:
        """Return the longest beginning of `text` that keeps within the tokens."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self._count(self._sent + text[:middle]) <= (self._max_tokens or 0):
                low = middle
            else:
                high = middle - 1
        return text[:low]
