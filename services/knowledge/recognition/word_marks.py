"""Where texts stand among the words of a page: the boxes to mark on its picture."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise

from services.knowledge.recognition.recognized import SCALE, RecognizedWord, WordBox
from services.knowledge.text.page_letters import PageLetters

MOST_BOXES = 400
# Boxes of one line are not further apart than this many of their heights.
_JOINED_GAP = 1.5


def marks(words: Sequence[RecognizedWord], wanted: Iterable[str]) -> list[tuple[float, float, float, float]]:
    """Return where texts stand, as (left, top, right, bottom) in shares of the page.

    Of a text that is not there as a whole, its lines and clauses are looked for.
    """
    letters = PageLetters(((word.text, number) for number, word in enumerate(words)), operator.eq)
    found: list[WordBox] = []
    for text in wanted:
        spans = letters.find_parts(text, lambda cells: [one for cell in cells for one in letters.find(cell)])
        for first, last in spans:
            found += _joined([word.box for word in words[first : last + 1]])
    return [
        (box.left / SCALE, box.top / SCALE, box.right / SCALE, box.bottom / SCALE)
        for box in dict.fromkeys(found[:MOST_BOXES])
    ]


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
