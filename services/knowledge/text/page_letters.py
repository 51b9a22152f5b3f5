"""Texts looked for among the letters of a page: line breaks, hyphens and the marks of tables make no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.knowledge.text.sentences import clauses

Spans = list[tuple[int, int]]
"""(first, last) number of each place."""
# More places of a text are not told.
MOST_PLACES = 400
# A clause with fewer characters stands in too many places.
_LEAST_CLAUSE = 8
# Scripts without spaces begin here: any of their characters may be the end of a word.
_FIRST_UNSPACED = "\u0e00"


class PageLetters:
    """The letters and digits of a page in lower case, each with the number of the character or word that it is of.

    Args:
        pieces: texts with their numbers, in order.
        together: whether two neighbouring letters with these numbers may be of one word.
    """

    def __init__(self, pieces: Iterable[tuple[str, int]], together: Callable[[int, int], bool]) -> None:
        letters: list[str] = []
        self._numbers: list[int] = []
        for text, number in pieces:
            for letter in _letters(text):
                letters.append(letter)
                self._numbers.append(number)
        self._text = "".join(letters)
        self._together = together

    def find(self, wanted: str) -> Spans:
        """Return each place of a text that is not inside a longer word."""
        needle = "".join(_letters(wanted))
        found: Spans = []
        start = self._text.find(needle) if needle else -1
        while start >= 0 and len(found) < MOST_PLACES:
            end = start + len(needle)
            if self._inside_word(start) or self._inside_word(end):
                start = self._text.find(needle, start + 1)
            else:
                found.append((self._numbers[start], self._numbers[end - 1]))
                start = self._text.find(needle, end)
        return found

    def find_parts(self, wanted: str, find_cells: Callable[[list[str]], Spans]) -> Spans:
        """Return the places of a text, or of its lines and clauses where it is not there as a whole.

        `find_cells` looks for the cells of a table's row that is not there as a whole.
        """
        return self.find(wanted) or [
            span
            for line in wanted.split("\n")
            for span in (
                self.find(line) or find_cells(line.split("|"))
                if "|" in line
                else [one for part in clauses(line) if len(part) >= _LEAST_CLAUSE for one in self.find(part)]
            )
        ]

    def _inside_word(self, at: int) -> bool:
        """Whether the letters before and at `at` are of one word of a script written with spaces."""
        return (
            0 < at < len(self._text)
            and self._together(self._numbers[at - 1], self._numbers[at])
            and self._text[at - 1] < _FIRST_UNSPACED
            and self._text[at] < _FIRST_UNSPACED
        )


def _letters(text: str) -> Iterable[str]:
    return filter(str.isalnum, text.casefold())
