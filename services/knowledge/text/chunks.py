"""Cuts parsed sections into chunks that the embedder reads to the end.

Sections become units (sentences, table rows), units are packed into chunks. Tokens are counted once per unit in
batches; the finished chunks are counted again, because a tokenizer may see a joined text differently, and one that
came out too long is halved. Every character that is not white space ends up in some chunk.

Cuts the text of a section into units that a chunk keeps whole where it can: sentences and table rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.types import ChunkDraft, Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Chunks are verified in batches of this many.
_BATCH = 64
# A section of another heading starts a chunk of its own once the present one is at least this full.
_FULL_ENOUGH = 0.5
_WORD = re.compile(r"\w+")
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


def chunk(
    sections: Iterable[Section], tokenizer: Tokenizer, max_tokens: int, overlap: int, *, name: str = ""
) -> Iterator[ChunkDraft]:
    """Yield the chunks of a document in reading order.

    Args:
        sections: stretches of text with their places; chunks do not reach across pages or sheets.
        tokenizer: the embedder's own; truncation and padding must be off.
        max_tokens: most tokens of a chunk, special tokens included.
        overlap: most tokens that a chunk repeats from the end of the one before, in whole sentences.
        name: the document's name; its words become lexical terms of each chunk, not text.

    Raises:
        ValueError: `max_tokens` leaves no room beside the special tokens.
    """
    budget = max_tokens - tokenizer.num_special_tokens_to_add(False)
    if budget < 1:
        raise ValueError(f"max_tokens {max_tokens} leaves no room for text")
    packer = _Packer(tokenizer, budget, min(overlap, budget // 2))
    waiting: list[_Packed] = []
    for packed in packer.pack(sections):
        waiting.append(packed)
        if len(waiting) >= _BATCH:
            yield from _verified(waiting, tokenizer, budget, name)
            waiting = []
    yield from _verified(waiting, tokenizer, budget, name)


@dataclass(slots=True)
class _Packed:
    """A chunk before it is verified."""

    text: str
    section: Section
    heading: tuple[str, ...]


@dataclass(slots=True)
class _Packer:
    """Fills chunks with units."""

    tokenizer: Tokenizer
    budget: int
    overlap: int
    units: list[Unit] = field(default_factory=list)
    tokens: int = 0
    repeated: int = 0  # how many of the first units were in the chunk before

    def pack(self, sections: Iterable[Section]) -> Iterator[_Packed]:
        previous: Section | None = None
        for section in sections:
            units = split_section(section)
            if not units:
                continue
            if previous is not None and self.units:
                if place_of(section) != place_of(previous):
                    yield from self._close()
                elif section.heading != previous.heading and self.tokens >= self.budget * _FULL_ENOUGH:
                    yield from self._close(keep_heads=True)
            previous = section
            for unit in self._counted(units):
                yield from self._add(unit)
        yield from self._close()

    def _counted(self, units: list[Unit]) -> Iterator[Unit]:
        """Yield the units with their tokens counted, those too long for a chunk cut up."""
        self._count(units)
        for unit in units:
            if unit.tokens <= self.budget and unit.sane:
                yield unit
                continue
            pieces = split_long(unit, self.tokenizer, self.budget)
            self._count(pieces)
            yield from pieces

    def _count(self, units: Sequence[Unit]) -> None:
        encodings = self.tokenizer.encode_batch_fast([unit.text for unit in units], add_special_tokens=False)
        for unit, encoding in zip(units, encodings, strict=True):
            unit.tokens = len(encoding)

    def _add(self, unit: Unit) -> Iterator[_Packed]:
        if self.units and not self._fits(unit):
            yield from self._close(keep_heads=True, share=True)
            if self.units and not self._fits(unit):
                if self.repeated:
                    self.units, self.tokens, self.repeated = [], 0, 0
                else:
                    yield from self._close()
        if not self.units and self._repeats(unit.header, unit) and unit.header:
            self.tokens = unit.header.tokens
        self.units.append(unit)
        self.tokens += unit.tokens

    def _fits(self, unit: Unit) -> bool:
        return self.tokens + unit.tokens <= self.budget

    def _repeats(self, header: Unit | None, first: Unit) -> bool:
        """Whether a chunk that begins with `first` repeats the table header above it."""
        return header is not None and header is not first and header.tokens <= self.budget // 3

    def _close(self, *, keep_heads: bool = False, share: bool = False) -> Iterator[_Packed]:
        """Yield the present chunk and begin the next one.

        With `keep_heads` headings at its end move on to what they head; with `share` the next chunk begins with the
        last sentences of this one.
        """
        units, self.units = self.units, []
        repeated, self.repeated = self.repeated, 0
        while keep_heads and len(units) > repeated + 1 and units[-1].keep_with_next:
            self.units.insert(0, units.pop())
        if len(units) > repeated:
            yield self._packed(units, repeated)
        if share and not self.units:
            self.units = self._tail(units)
            self.repeated = len(self.units)
        self.tokens = sum(unit.tokens for unit in self.units)

    def _tail(self, units: list[Unit]) -> list[Unit]:
        """Return the last whole sentences that fit in the overlap, never all of the chunk."""
        tail: list[Unit] = []
        tokens = 0
        for unit in reversed(units[1:]):
            tokens += unit.tokens
            if tokens > self.overlap or not unit.whole or unit.header is not None:
                break
            tail.insert(0, unit)
        return tail

    def _packed(self, units: list[Unit], repeated: int) -> _Packed:
        text = "".join(unit.text for unit in units)
        header = units[0].header
        if header is not None and self._repeats(header, units[0]):
            text = header.text + text
        return _Packed(text.strip(), units[0].section, _common_heading(units[repeated:]))


def _common_heading(units: Sequence[Unit]) -> tuple[str, ...]:
    """Return the heading path that all units share; sections that are nothing but their heading do not count."""
    paths = {unit.section.heading for unit in units if not unit.heading_only} or {units[-1].section.heading}
    shared: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return tuple(shared)


def _verified(packed: Sequence[_Packed], tokenizer: Tokenizer, budget: int, name: str) -> Iterator[ChunkDraft]:
    """Yield drafts whose tokens were counted as the embedder will count them; halve those that are too long."""
    if not packed:
        return
    special = tokenizer.num_special_tokens_to_add(False)
    encodings = tokenizer.encode_batch_fast([item.text for item in packed], add_special_tokens=False)
    for item, encoding in zip(packed, encodings, strict=True):
        if not item.text:
            continue
        if len(encoding) > budget and len(item.text) > 1:
            middle = _middle(item.text)
            halves = (item.text[:middle].strip(), item.text[middle:].strip())
            yield from _verified(
                [_Packed(half, item.section, item.heading) for half in halves], tokenizer, budget, name
            )
            continue
        yield ChunkDraft(
            text=item.text,
            tokens=len(encoding) + special,
            terms=lexical_terms(item.text, (*item.heading, item.section.sheet), name),
            page=item.section.page,
            sheet=item.section.sheet,
            heading=item.heading,
        )


def lexical_terms(text: str, place: Sequence[str], name: str) -> str:
    """Return what a chunk is found by, separated by blanks: its words, then those of its place and its document."""
    from services.knowledge.text.terms import terms

    words = terms(text)
    known = set(words)
    stem = name.rsplit(".", 1)[0]
    words += [word for word in terms(" ".join((*place, stem))) if word not in known]
    return " ".join(words)


def _middle(text: str) -> int:
    """Return a position near the middle, at white space where there is some in the middle third."""
    half = len(text) // 2
    space = text.rfind(" ", len(text) // 3, half + 1)
    return space if space > 0 else max(half, 1)


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
