"""Chunking: packs parsed sections into chunks that fit the embedder.

Sections are split into units (sentences, table rows), units are packed into chunks, which keep them whole where
possible. Tokens are counted once per unit in batches; the finished chunks are counted again, because a tokenizer may
split joined text differently, and one that is too long is halved. Every character except white space ends up in some
chunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.text.sentences import packing_units
from services.knowledge.types import ChunkDraft, Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Chunks are verified in batches of this many.
_BATCH = 64
# A section with another heading starts a new chunk if the present one is at least this full.
_MIN_FILL = 0.5
_TABLE_RULE = re.compile(r"^\|(?:\s*:?-{3,}:?\s*\|)+\s*$")
_CLAUSE_END = "，、,;；:：)）"
# No word of a language is longer; tokenizers count such runs as one unknown token.
_MAX_WORD = 50
_WINDOW = 20_000  # characters that are encoded at a time
_UNBROKEN = re.compile(r"\S{51,}")


def chunk_sections(
    sections: Iterable[Section], tokenizer: Tokenizer, max_tokens: int, overlap: int, *, name: str = ""
) -> Iterator[ChunkDraft]:
    """Yield the chunks of a document in reading order.

    Args:
        sections: texts with their places; chunks do not span pages or sheets.
        tokenizer: the embedder's own; truncation and padding must be off.
        max_tokens: most tokens of a chunk, special tokens included.
        overlap: most tokens that a chunk repeats from the end of the previous one, in whole sentences.
        name: the document's name; its words become lexical terms of every chunk, not text.

    Raises:
        ValueError: `max_tokens` is no more than the special tokens.
    """
    budget = max_tokens - tokenizer.num_special_tokens_to_add(False)
    if budget < 1:
        raise ValueError(f"max_tokens {max_tokens} leaves no room for text")
    packer = _Packer(tokenizer, budget, min(overlap, budget // 2))
    pending: list[_Packed] = []
    for packed in packer.pack(sections):
        pending.append(packed)
        if len(pending) >= _BATCH:
            yield from _verified(pending, tokenizer, budget, name)
            pending = []
    yield from _verified(pending, tokenizer, budget, name)


@dataclass(slots=True)
class _Packed:
    """A chunk before it is verified."""

    text: str
    section: Section
    heading: tuple[str, ...]


@dataclass(slots=True)
class _Packer:
    """Packs units into chunks."""

    tokenizer: Tokenizer
    budget: int
    overlap: int
    units: list[Unit] = field(default_factory=list)
    tokens: int = 0
    repeated: int = 0  # how many of the first units were in the chunk before

    def pack(self, sections: Iterable[Section]) -> Iterator[_Packed]:
        previous: Section | None = None
        for section in sections:
            units = _split_section(section)
            if not units:
                continue
            if previous is not None and self.units:
                if _place(section) != _place(previous):
                    yield from self._close()
                elif section.heading != previous.heading and self.tokens >= self.budget * _MIN_FILL:
                    yield from self._close(keep_headings=True)
            previous = section
            for unit in self._counted(units):
                yield from self._add(unit)
        yield from self._close()

    def _counted(self, units: list[Unit]) -> Iterator[Unit]:
        """Yield the units with their tokens counted; those too long for a chunk are split."""
        self._count(units)
        for unit in units:
            if unit.tokens <= self.budget and unit.is_countable:
                yield unit
                continue
            pieces = _split_long(unit, self.tokenizer, self.budget)
            self._count(pieces)
            yield from pieces

    def _count(self, units: Sequence[Unit]) -> None:
        encodings = self.tokenizer.encode_batch_fast([unit.text for unit in units], add_special_tokens=False)
        for unit, encoding in zip(units, encodings, strict=True):
            unit.tokens = len(encoding)

    def _add(self, unit: Unit) -> Iterator[_Packed]:
        if self.units and not self._fits(unit):
            yield from self._close(keep_headings=True, overlap=True)
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
        """Whether a chunk that starts with `first` repeats the table header above it."""
        return header is not None and header is not first and header.tokens <= self.budget // 3

    def _close(self, *, keep_headings: bool = False, overlap: bool = False) -> Iterator[_Packed]:
        """Yield the present chunk and start the next one.

        With `keep_headings` headings at its end move to the next chunk; with `overlap` the next chunk starts with the
        last sentences of this one.
        """
        units, self.units = self.units, []
        repeated, self.repeated = self.repeated, 0
        while keep_headings and len(units) > repeated + 1 and units[-1].keep_with_next:
            self.units.insert(0, units.pop())
        if len(units) > repeated:
            yield self._packed(units, repeated)
        if overlap and not self.units:
            self.units = self._tail(units)
            self.repeated = len(self.units)
        self.tokens = sum(unit.tokens for unit in self.units)

    def _tail(self, units: list[Unit]) -> list[Unit]:
        """Return the last whole sentences that fit the overlap, never the whole chunk."""
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
    """Return the heading path that all units share; sections that consist of a heading only do not count."""
    paths = {unit.section.heading for unit in units if not unit.heading_only} or {units[-1].section.heading}
    shared: list[str] = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return tuple(shared)


def _verified(packed: Sequence[_Packed], tokenizer: Tokenizer, budget: int, name: str) -> Iterator[ChunkDraft]:
    """Yield drafts with the token counts of the joined text; those that are too long are halved."""
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
    """Return the lexical terms of a chunk, joined by blanks: of its text, then of its place and document name."""
    from services.knowledge.text.terms import terms

    words = terms(text)
    known = set(words)
    stem = name.rsplit(".", 1)[0]
    words += [word for word in terms(" ".join((*place, stem))) if word not in known]
    return " ".join(words)


def _middle(text: str) -> int:
    """Return a position near the middle, at white space if there is any in the middle third."""
    half = len(text) // 2
    space = text.rfind(" ", len(text) // 3, half + 1)
    return space if space > 0 else max(half, 1)


@dataclass(slots=True, eq=False)
class Unit:
    """A sentence or table row with the white space that follows it; joined, units give the section's text again."""

    text: str
    section: Section
    tokens: int = 0
    whole: bool = True  # False for a piece of something that was too long
    keep_with_next: bool = False
    heading_only: bool = False
    header: Unit | None = None  # the table header above a row

    @property
    def is_countable(self) -> bool:
        """Whether the token count is reliable: a giant word counts as one token."""
        return len(self.text) <= _MAX_WORD or len(self.text) <= 8 * self.tokens or not _UNBROKEN.search(self.text)


def _place(section: Section) -> tuple[int | None, str]:
    """Return the page and sheet, which a chunk does not span."""
    return section.page, section.sheet


def _split_section(section: Section) -> list[Unit]:
    """Return the units of a section; the heading line is marked so that it does not end a chunk."""
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
            yield from _plain_rows(header_lines, section)
            header, header_lines = None, []
            prose.append(row)
            continue
        yield from _prose("".join(prose), section)
        prose = []
        if header is not None:
            yield Unit(row, section, header=header)
        elif header_lines and _TABLE_RULE.match(row.strip()):
            # The rule below a table header is left out: it would cost tokens in every chunk.
            header = Unit(header_lines.pop(), section, keep_with_next=True)
            header.header = header
            yield header
        else:
            yield from _plain_rows(header_lines, section)
            header_lines = [row]
    yield from _plain_rows(header_lines, section)
    yield from _prose("".join(prose), section)


def _plain_rows(lines: list[str], section: Section) -> Iterator[Unit]:
    """Yield rows that turned out not to be a table header."""
    for text in lines:
        yield Unit(text, section)


def _prose(text: str, section: Section) -> Iterator[Unit]:
    return (Unit(part, section) for part in packing_units(text))


def _split_long(unit: Unit, tokenizer: Tokenizer, budget: int) -> list[Unit]:
    """Split a unit into parts of at most `budget` tokens, after a clause, at white space, or anywhere."""
    pieces: list[str] = []
    for window in _windows(unit.text):
        pieces.extend(_fitting(window, tokenizer, budget))
    return [Unit(piece, unit.section, whole=False, header=unit.header) for piece in pieces if piece]


def _windows(text: str) -> Iterator[str]:
    """Yield parts of a text that are quick to encode, split at white space where possible."""
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
    giant = next((span for span in offsets if span[1] - span[0] > _MAX_WORD), None)
    if giant is not None:
        start, end = giant
        yield from _fitting(text[:start], tokenizer, budget)
        for at in range(start, end, _MAX_WORD):
            yield text[at : min(at + _MAX_WORD, end)]
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
    """Return the token to split before: after a clause in the last quarter, else at white space, else between words."""
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
