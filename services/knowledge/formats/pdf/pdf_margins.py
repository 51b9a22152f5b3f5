"""Headers and footers of PDF pages: lines in the margins that come back page after page are kept on the first ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge.formats.pdf.pdf_page import Box, Word

# Shares of a page's height that are its margins, and the highest line in them that is no title (points).
_MARGIN = 0.08
_HIGHEST = 17.0
# A line is kept this often; it may be on every second page only.
_KEPT = 2
_APART = 2
_MOST_WORDS = 40
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")


@dataclass(slots=True)
class Margins:
    """The lines in the margins of the pages so far: how often each was seen, and on which page last."""

    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def repeated(self, words: Sequence[Word], text: str, page: Box, number: int) -> set[int]:
        """Return the starts of the words of page `number` that are in lines known from the pages before."""
        repeated: set[int] = set()
        for line in _margin_lines(words, text, page):
            key = _DIGITS.sub("#", text[line[0].start : line[-1].end])
            count, last = self._seen.get(key, (0, number))
            count = count + 1 if number - last <= _APART else 1
            self._seen[key] = count, number
            if count > _KEPT:
                repeated.update(word.start for word in line)
        return repeated


def _margin_lines(words: Sequence[Word], text: str, page: Box) -> Iterator[list[Word]]:
    """Yield the lines of small letters at the top and at the bottom of a page."""
    low, high = page.bottom + _MARGIN * page.height, page.top - _MARGIN * page.height
    line: list[Word] = []
    for word in words:
        _left, bottom, _right, top = word.box
        inside = low < (bottom + top) / 2 < high or top - bottom > _HIGHEST
        if line and (inside or "\n" in text[line[-1].end : word.start]):
            if len(line) <= _MOST_WORDS:
                yield line
            line = []
        if not inside:
            line.append(word)
    if 0 < len(line) <= _MOST_WORDS:
        yield line
