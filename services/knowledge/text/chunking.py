"""Cuts parsed sections into chunks that the embedder reads to the end.

Sections become units (sentences, table rows), units are packed into chunks. Tokens are counted once per unit in
batches; the finished chunks are counted again, because a tokenizer may see a joined text differently, and one that
came out too long is halved. Every character that is not white space ends up in some chunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.knowledge.text.splitting import Unit, place_of, split_long, split_section
from services.knowledge.types import ChunkDraft, Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Chunks are verified in batches of this many.
_BATCH = 64
# A section of another heading starts a chunk of its own once the present one is at least this full.
_FULL_ENOUGH = 0.5
_WORD = re.compile(r"\w+")


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
    from services.knowledge.text.segmentation import terms

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
