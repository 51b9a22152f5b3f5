"""Cuts the text of a section into units that a chunk keeps whole where it can: sentences and table rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.knowledge.types import Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A unit ends after: a blank line; a Chinese full stop; a Latin one before white space; a line before a list item or
# table row, or after a row. Closing quotes and brackets stay with their sentence.
_END = re.compile(
    r"""\n[^\S\n]*\n\s*                      # blank line
      | [。！？；…]+[”’"'」』）》】\])]*\s*      # full stop of a script written without spaces
      | (?<![.!?;])[.!?;]++[”’"'»)\]]*+\s+    # full stop of a script written with spaces
      | \n\s*+(?=[|•·▪‣*+-]\s|\d{1,3}[.)、]\s)  # before a list item or a table row
    """,
    re.VERBOSE,
)
_TABLE_RULE = re.compile(r"^\|(?:\s*:?-{3,}:?\s*\|)+\s*$")
_CLAUSE_END = "，、,;；:：)）"
# No word of a language is longer; tokenizers give up on such runs and count them as one.
_LONGEST_WORD = 50
_WINDOW = 20_000
# A line so much shorter than the longest one was not broken by the margin.
_SHORT_LINE = 0.6
_UNBROKEN = re.compile(r"\S{51,}")


@dataclass(slots=True, eq=False)
class Unit:
    """A stretch of text with the white space that follows it; units in a row give the section's text again."""

    text: str
    section: Section
    tokens: int = 0
    whole: bool = True  # False for a piece of something that was too long
    keep_with_next: bool = False
    heading_only: bool = False
    header: Unit | None = None  # the table header above a row

    @property
    def sane(self) -> bool:
        """Whether the token count can be relied on: a giant word counts as one token."""
        return len(self.text) <= _LONGEST_WORD or len(self.text) <= 8 * self.tokens or not _UNBROKEN.search(self.text)


def place_of(section: Section) -> tuple[int | None, str]:
    """Return what a chunk may not reach across."""
    return section.page, section.sheet


def split_section(section: Section) -> list[Unit]:
    """Return the units of a section, the heading line marked so that it does not end a chunk."""
    text = section.text.strip()
    if not text:
        return []
    units: list[Unit] = []
    body = text
    if section.heading and text.startswith(section.heading[-1]):
        first, _newline, rest = text.partition("\n")
        if first.strip() == section.heading[-1]:
            body = rest.lstrip()
            separator = "\n\n" if rest.startswith("\n") or not body else "\n"
            units.append(Unit(first + separator, section, keep_with_next=True, heading_only=not body))
    units.extend(_body(body, section))
    last = units[-1]
    last.text = last.text.rstrip() + "\n\n"
    return units


def _body(text: str, section: Section) -> Iterator[Unit]:
    if not text:
        return
    if "\n|" not in text and not text.startswith("|"):
        yield from _prose(text, section)
        return
    prose: list[str] = []
    header: Unit | None = None
    header_lines: list[str] = []
    for row in text.splitlines(keepends=True):
        if not row.startswith("|"):
            yield from _rest(header_lines, section)
            header, header_lines = None, []
            prose.append(row)
            continue
        yield from _prose("".join(prose), section)
        prose = []
        if header is not None:
            yield Unit(row, section, header=header)
        elif header_lines and _TABLE_RULE.match(row.strip()):
            # The rule below a table's header is no text and would cost tokens in every chunk.
            header = Unit(header_lines.pop(), section, keep_with_next=True)
            header.header = header
            yield header
        else:
            yield from _rest(header_lines, section)
            header_lines = [row]
    yield from _rest(header_lines, section)
    yield from _prose("".join(prose), section)


def _rest(lines: list[str], section: Section) -> Iterator[Unit]:
    """Yield a line that looked like the start of a table and was not."""
    for text in lines:
        yield Unit(text, section)


def _prose(text: str, section: Section) -> Iterator[Unit]:
    short = max(map(len, text.split("\n"))) * _SHORT_LINE if text else 0
    start = 0
    for match in _END.finditer(text):
        yield from _lines(text[start : match.end()], short, section)
        start = match.end()
    if start < len(text):
        yield from _lines(text[start:], short, section)


def _lines(sentence: str, short: float, section: Section) -> Iterator[Unit]:
    """Cut a sentence after lines that no margin broke: headings, table cells and addresses as PDFs have them."""
    start = line = 0
    last = len(sentence.rstrip())
    while 0 < (end := sentence.find("\n", line) + 1) < last:
        if end - line < short:
            yield Unit(sentence[start:end], section)
            start = end
        line = end
    yield Unit(sentence[start:], section)


def split_long(unit: Unit, tokenizer: Tokenizer, budget: int) -> list[Unit]:
    """Return pieces of a unit that fit `budget` tokens, cut after a clause, at white space, or wherever it must be."""
    pieces: list[str] = []
    for window in _windows(unit.text):
        pieces.extend(_fitting(window, tokenizer, budget))
    return [Unit(piece, unit.section, whole=False, header=unit.header) for piece in pieces if piece]


def _windows(text: str) -> Iterator[str]:
    """Yield stretches that are quick to encode, with runs that no tokenizer takes for words cut up."""
    start = 0
    while start < len(text):
        end = start + _WINDOW
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield text[start:end]
        start = end


def _fitting(text: str, tokenizer: Tokenizer, budget: int) -> Iterator[str]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets, words = encoding.offsets, encoding.word_ids
    giant = next((span for span in offsets if span[1] - span[0] > _LONGEST_WORD), None)
    if giant is not None:
        start, end = giant
        yield from _fitting(text[:start], tokenizer, budget)
        for at in range(start, end, _LONGEST_WORD):
            yield text[at : min(at + _LONGEST_WORD, end)]
        yield from _fitting(text[end:], tokenizer, budget)
        return
    begin = first = 0
    while len(offsets) - first > budget:
        cut = _cut(text, offsets, words, first, budget)
        at = max(offsets[cut][0], begin + 1)
        yield text[begin:at]
        begin, first = at, cut
    yield text[begin:]


def _cut(text: str, offsets: list[tuple[int, int]], words: list[int | None], first: int, budget: int) -> int:
    """Return the token to cut before: after a clause in the last quarter, else at white space, else between words."""
    last = first + budget
    space = word = 0
    for candidate in range(last, max(first + budget * 3 // 4, first), -1):
        before = text[offsets[candidate][0] - 1]
        if before in _CLAUSE_END or text[offsets[candidate - 1][0]] in _CLAUSE_END:
            return candidate
        if not space and before.isspace():
            space = candidate
        if not word and words[candidate] != words[candidate - 1]:
            word = candidate
    return space or word or last
