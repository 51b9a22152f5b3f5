"""What text recognition finds in a picture, and what is kept of it.

Boxes are (left, top, right, bottom). In a picture they are pixels; of a kept page they are in `SCALE` parts of its
width and height as it is shown, so that they fit the page drawn in any size.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SCALE = 10_000
# A kept page is some kilobytes; one that unpacks to more is none of ours.
_MOST_BYTES = 32 * 1024 * 1024


class WordBox(NamedTuple):
    """A rectangle with the origin at the upper left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


class RecognizedWord(NamedTuple):
    """A word, or a character of a script without spaces, and its box."""

    text: str
    box: WordBox


@dataclass(frozen=True, slots=True)
class RecognizedLine:
    """A line of text, or the part of one in a column or cell; `confidence` from 0 to 1 is the engine's own.

    `straight` is its box once the picture is turned upright: scans lie askew.
    """

    text: str
    confidence: float
    box: WordBox
    straight: WordBox
    words: tuple[RecognizedWord, ...] = ()


@dataclass(frozen=True, slots=True)
class RecognizedPicture:
    """The lines of a picture of `width` x `height` pixels, in no particular order.

    `turned`: by so many degrees clockwise it had to be turned for its text to stand upright; all boxes are in the
    picture as it was given.
    """

    width: int
    height: int
    lines: tuple[RecognizedLine, ...]
    turned: int = 0

    @property
    def characters(self) -> int:
        """How many letters and digits were recognised."""
        return sum(sum(map(str.isalnum, line.text)) for line in self.lines)

    @property
    def confidence(self) -> float:
        """The mean confidence, lines weighted by their length; 0 without text."""
        total = sum(len(line.text) for line in self.lines)
        return sum(len(line.text) * line.confidence for line in self.lines) / total if total else 0.0

    @property
    def least_confidence(self) -> float:
        """The confidence of the line that is least sure; 0 without text."""
        return min((line.confidence for line in self.lines), default=0.0)


@dataclass(frozen=True, slots=True)
class RecognizedPage:
    """What is kept of a page that was read by text recognition: how sure it was, and its words with their boxes."""

    page: int
    confidence: float
    least_confidence: float
    words: Sequence[RecognizedWord] = field(default=(), repr=False)


def picture_facts(picture: RecognizedPicture) -> dict[str, Any]:
    """Return a picture's lines as JSON has them."""
    return {
        "size": [picture.width, picture.height],
        "turned": picture.turned,
        "lines": [
            [
                line.text,
                round(line.confidence, 4),
                _rounded(line.box),
                _rounded(line.straight),
                [[word.text, *_rounded(word.box)] for word in line.words],
            ]
            for line in picture.lines
        ],
    }


def picture_of(facts: dict[str, Any]) -> RecognizedPicture:
    """Return the picture that `picture_facts` made facts of."""
    lines = tuple(
        RecognizedLine(text, confidence, WordBox(*box), WordBox(*straight), tuple(words_of(words)))
        for text, confidence, box, straight, words in facts["lines"]
    )
    width, height = facts["size"]
    return RecognizedPicture(width, height, lines, facts["turned"])


def words_of(facts: Iterable[Sequence[Any]]) -> list[RecognizedWord]:
    """Return words that JSON has as text, left, top, right, bottom."""
    return [RecognizedWord(word[0], WordBox(*word[1:])) for word in facts]


def _rounded(box: WordBox) -> list[float]:
    return [round(edge, 1) for edge in box]


def kept_words(picture: RecognizedPicture, lines: Iterable[RecognizedLine]) -> list[list[Any]]:
    """Return the words of lines, in that order, as they are kept: text, left, top, right, bottom."""
    across, down = SCALE / max(picture.width, 1), SCALE / max(picture.height, 1)
    return [
        [text, round(box.left * across), round(box.top * down), round(box.right * across), round(box.bottom * down)]
        for line in lines
        for text, box in (line.words or (RecognizedWord(line.text, line.box),))
    ]


def packed_words(words: Sequence[RecognizedWord]) -> bytes:
    """Return words as the database keeps them."""
    return zlib.compress(json.dumps([[word.text, *word.box] for word in words], ensure_ascii=False).encode())


def unpacked_words(data: bytes) -> list[RecognizedWord]:
    """Return the words that `packed_words` packed."""
    text = zlib.decompressobj().decompress(data, _MOST_BYTES)
    return words_of(json.loads(text))
