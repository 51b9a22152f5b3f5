"""Where texts stand among the words of a page: the boxes to mark on its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from services.knowledge.recognition.recognized import SCALE, RecognizedWord, WordBox
from services.knowledge.text.sentences import clauses

MOST_BOXES = 400
# A clause with fewer characters stands in too many places.
_LEAST_CLAUSE = 8
# Boxes of one line are not further apart than this many of their heights.
_JOINED_GAP = 1.5
# A character of scripts without spaces is a word; they begin here.
_FIRST_UNSPACED = "\u0e00"


def marks(words: Sequence[RecognizedWord], wanted: Iterable[str]) -> list[tuple[float, float, float, float]]:
    """Return where texts stand, as (left, top, right, bottom) in shares of the page.

    Of a text that is not there as a whole, its lines and clauses are looked for.

    Letters and digits are compared alone, so that line breaks, hyphens and the marks of tables make no difference.
    """
    letters = _PageLetters(words)
    found: list[WordBox] = []
    for text in wanted:
        spans = letters.find(text) or [
            span
            for line in text.split("\n")
            for span in (
                letters.find(line) or [one for cell in line.split("|") for one in letters.find(cell)]
                if "|" in line
                else [one for part in clauses(line) if len(part) >= _LEAST_CLAUSE for one in letters.find(part)]
            )
        ]
        for first, last in spans:
            found += _joined([word.box for word in words[first : last + 1]])
    return [
        (box.left / SCALE, box.top / SCALE, box.right / SCALE, box.bottom / SCALE)
        for box in dict.fromkeys(found[:MOST_BOXES])
    ]


class _PageLetters:
    """The letters and digits of words in lower case, each with the number of its word."""

    def __init__(self, words: Sequence[RecognizedWord]) -> None:
        letters: list[str] = []
        self._numbers: list[int] = []
        for number, word in enumerate(words):
            for character in word.text.casefold():
                if character.isalnum():
                    letters.append(character)
                    self._numbers.append(number)
        self._text = "".join(letters)

    def find(self, wanted: str) -> list[tuple[int, int]]:
        """Return the (first, last) word of each occurrence of a text that is not inside a longer word."""
        needle = "".join(character for character in wanted.casefold() if character.isalnum())
        found: list[tuple[int, int]] = []
        start = self._text.find(needle) if needle else -1
        while start >= 0 and len(found) < MOST_BOXES:
            end = start + len(needle)
            if self._inside_word(start) or self._inside_word(end):
                start = self._text.find(needle, start + 1)
            else:
                found.append((self._numbers[start], self._numbers[end - 1]))
                start = self._text.find(needle, end)
        return found

    def _inside_word(self, at: int) -> bool:
        """Whether the letters before and at `at` are of one word."""
        return (
            0 < at < len(self._text)
            and self._numbers[at] == self._numbers[at - 1]
            and (self._text[at] < _FIRST_UNSPACED and self._text[at - 1] < _FIRST_UNSPACED)
        )


def _joined(boxes: Sequence[WordBox]) -> list[WordBox]:
    """Return the boxes of words that follow each other as one a line."""
    joined: list[WordBox] = list(boxes[:1])
    for before, box in pairwise(boxes):
        last = joined[-1]
        overlap = min(before.bottom, box.bottom) - max(before.top, box.top)
        goes_on = box.left >= before.left and box.left - before.right < _JOINED_GAP * max(box.height, before.height)
        if goes_on and overlap > 0.5 * min(box.height, before.height):
            joined[-1] = WordBox(
                min(last.left, box.left),
                min(last.top, box.top),
                max(last.right, box.right),
                max(last.bottom, box.bottom),
            )
        else:
            joined.append(box)
    return joined
