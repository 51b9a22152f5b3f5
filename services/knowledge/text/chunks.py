"""Chunking: packs parsed sections into chunks that fit the embedder.

Sections are split into units (sentences, list items, table rows), units are packed into chunks, which keep them whole
where possible. Tokens are counted once per unit in batches; the finished chunks are counted again, because a tokenizer
may split joined text differently, and one that is too long is halved. Every character except white space ends up in
some chunk, apart from the rules below table headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from services.knowledge.text.cuts import middle, pieces
from services.knowledge.text.folding import embedding_text
from services.knowledge.text.units import Joint, Unit, split_section
from services.knowledge.text.wide_tables import LEAST_BUDGET, WideTable, is_wide
from services.knowledge.types import ChunkDraft, Section

if TYPE_CHECKING:
    from services.knowledge.tokenization.tokenizer import TextTokenizer

# Chunks are verified in batches of this many.
_BATCH = 64
# A section with another heading, or a list that would be torn apart, starts a new chunk if the present one is at least
# this full.
_MIN_FILL = 0.5
# Most of a chunk that moves to the next one so that this one ends with a sentence.
_MOST_MOVED = 0.5
# Most of a chunk that the lead-in of a list may cost.
_LEAD_SHARE = 0.25


def chunk_sections(
    sections: Iterable[Section], tokenizer: TextTokenizer, max_tokens: int, overlap: int, *, name: str = ""
) -> Iterator[ChunkDraft]:
    """Yield the chunks of a document in reading order.

    Args:
        sections: texts with their places; chunks do not span pages or sheets.
        tokenizer: the embedder's own.
        max_tokens: most tokens of a chunk, special tokens included.
        overlap: most tokens that a chunk repeats from the end of the previous one, in whole sentences.
        name: the document's name; its words become lexical terms of every chunk, not text.

    Raises:
        ValueError: `max_tokens` is no more than the special tokens.
    """
    budget = max_tokens - tokenizer.special_tokens
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

    tokenizer: TextTokenizer
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
                if _place(section) != _place(previous):
                    yield from self._close()
                elif section.heading != previous.heading and self.tokens >= self.budget * _MIN_FILL:
                    yield from self._close(keep=True)
            previous = section
            for unit in self._sized(units):
                yield from self._add(unit)
        yield from self._close()

    def _sized(self, units: list[Unit]) -> Iterator[Unit]:
        """Yield the units with their tokens counted; those too long for a chunk are cut."""
        self._count([*units, *{unit.header: None for unit in units if unit.header is not None}])
        _count_groups(units)
        for header, run in groupby(units, key=lambda unit: unit.header if unit.is_row else None):
            rows = list(run)
            if rows[0].is_row and is_wide(header, rows, self.budget):
                if self.budget >= LEAST_BUDGET:
                    yield from WideTable(self.tokenizer, self.budget).cut(header, rows)
                    continue
                rows = _without_header(header, rows)
            for unit in rows:
                if unit.header is not None and not unit.is_row and unit.header.tokens > self.budget * _LEAD_SHARE:
                    unit.header = None
                yield from self._whole(unit)

    def _whole(self, unit: Unit) -> Iterator[Unit]:
        """Yield a unit, or its parts if it is too long for a chunk."""
        if unit.header is not None and unit.tokens + unit.header.tokens > self.budget:
            unit.header = None
        if unit.tokens <= self.budget and unit.is_countable:
            yield unit
            return
        parts = [
            Unit(piece, unit.section, whole=False, joint=Joint.CLAUSE)
            for piece in pieces(unit.text, self.tokenizer, self.budget)
        ]
        parts[-1].joint = unit.joint
        self._count(parts)
        yield from parts

    def _count(self, units: Sequence[Unit]) -> None:
        texts = [embedding_text(unit.text) for unit in units]
        for unit, tokens in zip(units, self.tokenizer.counts(texts), strict=True):
            unit.tokens = tokens

    def _add(self, unit: Unit) -> Iterator[_Packed]:
        if self.units and unit.group and self._starts_anew(unit):
            yield from self._close(keep=True)
        if self.units and not self._fits(unit):
            yield from self._close(keep=True, overlap=True)
            if self.units and not self._fits(unit):
                if self.repeated:
                    self.units, self.tokens, self.repeated = [], 0, 0
                else:
                    yield from self._close()
        self._put(unit)

    def _starts_anew(self, lead: Unit) -> bool:
        """Whether a list fits a chunk, but not what is left of this one."""
        return lead.group <= self.budget < self.tokens + lead.group and self.tokens >= self.budget * _MIN_FILL

    def _put(self, unit: Unit) -> None:
        header = self._missing_header(unit)
        if header is not None:
            self.units.append(header)
            self.tokens += header.tokens
        self.units.append(unit)
        self.tokens += unit.tokens

    def _fits(self, unit: Unit) -> bool:
        header = self._missing_header(unit)
        return self.tokens + unit.tokens + (header.tokens if header is not None else 0) <= self.budget

    def _missing_header(self, unit: Unit) -> Unit | None:
        """Return the header to repeat before a unit, None if the chunk has it."""
        header = unit.header
        last = self.units[-1] if self.units else None
        if header is None or last is header or (last is not None and last.header is header):
            return None
        # An empty line keeps its rows apart from those of another header.
        text = f"\n{header.text}" if last is not None and last.is_row else header.text
        return Unit(text, header.section, header.tokens, header=header, is_header=True, joint=Joint.KEPT)

    def _close(self, *, keep: bool = False, overlap: bool = False) -> Iterator[_Packed]:
        """Yield the present chunk and start the next one.

        With `keep` headings and the beginning of a sentence at its end move to the next chunk; with `overlap` the next
        chunk starts with the last sentences of this one.
        """
        units, self.units, self.tokens = self.units, [], 0
        repeated, self.repeated = self.repeated, 0
        end = self._end(units, repeated) if keep else len(units)
        if end > repeated:
            yield _packed(units[:end], repeated)
        for unit in units[end:]:
            if not unit.is_header:
                self._put(unit)
        if overlap and not self.units:
            for unit in self._tail(units):
                self._put(unit)
            self.repeated = len(self.units)

    def _end(self, units: list[Unit], repeated: int) -> int:
        """Return where a chunk of these units ends: at the best joint that leaves it most of its text."""
        for joint in (Joint.FREE, Joint.ITEM, Joint.CLAUSE):
            moved = 0
            for end in range(len(units), repeated, -1):
                if units[end - 1].joint <= joint:
                    return end
                moved += units[end - 1].tokens
                if moved > self.budget * _MOST_MOVED:
                    break
        return len(units)

    def _tail(self, units: list[Unit]) -> list[Unit]:
        """Return the last whole sentences that fit the overlap, never the whole chunk."""
        tail: list[Unit] = []
        tokens = 0
        for at in range(len(units) - 1, 0, -1):
            unit = units[at]
            tokens += unit.tokens
            if tokens > self.overlap or not unit.whole or unit.header is not None:
                break
            if units[at - 1].joint <= Joint.ITEM:
                tail = units[at:]
        return tail


def _count_groups(units: Sequence[Unit]) -> None:
    """Count for each lead-in the tokens of its list."""
    for unit in units:
        if unit.header is not None and not unit.is_row:
            unit.header.group = (unit.header.group or unit.header.tokens) + unit.tokens


def _without_header(header: Unit | None, rows: list[Unit]) -> list[Unit]:
    """Return the rows of a table as rows of their own, the header as the first one."""
    for row in rows:
        row.header = None
    if header is None:
        return rows
    return [Unit(header.text, header.section, header.tokens, is_row=True), *rows]


def _packed(units: list[Unit], repeated: int) -> _Packed:
    text = "".join(unit.text for unit in units)
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


def _verified(packed: Sequence[_Packed], tokenizer: TextTokenizer, budget: int, name: str) -> Iterator[ChunkDraft]:
    """Yield drafts with the token counts of the joined text; those that are too long are halved."""
    if not packed:
        return
    special = tokenizer.special_tokens
    texts = [embedding_text(item.text) for item in packed]
    for item, tokens in zip(packed, tokenizer.counts(texts), strict=True):
        if not item.text:
            continue
        if tokens > budget and len(item.text) > 1:
            at = middle(item.text)
            halves = (item.text[:at].strip(), item.text[at:].strip())
            yield from _verified(
                [_Packed(half, item.section, item.heading) for half in halves], tokenizer, budget, name
            )
            continue
        yield ChunkDraft(
            text=item.text,
            tokens=tokens + special,
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


def _place(section: Section) -> tuple[int | None, str]:
    """Return the page and sheet, which a chunk does not span."""
    return section.page, section.sheet
