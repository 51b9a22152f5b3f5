"""The entries of a list that a question asks for: rows, items or values of a document, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.knowledge.retrieval.scoring import LexicalEvidence
from services.knowledge.retrieval.statements import shown
from services.knowledge.text.layout import LayoutBlock, LayoutKind, blocks
from services.knowledge.text.terms import located_terms, terms
from services.knowledge.types import Chunk

MAX_ENTRIES = 40
# Least share of what is to be listed that a list's title, lead-in or header row must cover.
_LEAST_COVERAGE = 0.25
_GAIN = 0.12  # of what is asked for, by which some entries must be ahead of the others to be listed alone
_SENTENCE_COVERAGE = 0.6
_LISTS = {LayoutKind.TABLE: 1.0, LayoutKind.LIST: 1.0, LayoutKind.VALUES: 0.9}
_NAME_SHARE = 0.5  # of the coverage by the document's name: every list of the document has it


@dataclass(frozen=True, slots=True)
class FoundList:
    """Entries that were found: the number of their chunk, the words of the first one, how they are shown."""

    chunk: int
    text: str
    shown: str
    title: str
    entries: int
    complete: bool


@dataclass(slots=True)
class _Group:
    """Parts of one list, which may go on over several chunks."""

    kind: LayoutKind
    lead: str
    title: str
    chunk: int
    parts: dict[str, None] = field(default_factory=dict)


def best_list(
    subject: str, chunks: Sequence[Chunk], idf: Callable[[Iterable[str]], Mapping[str, float]]
) -> FoundList | None:
    """Return the list of a document that fits `subject` best, None where none does."""
    located = located_terms(subject)
    if not located or not chunks:
        return None
    weights = idf(term for term, _place in located)
    evidence = LexicalEvidence(located, weights)

    def coverage(*texts: str) -> float:
        known = weights.keys() & {term for text in texts for term in terms(text)}
        return evidence.coverage(dict.fromkeys(known, 1.0))

    name = coverage(chunks[0].document.rsplit(".", 1)[0])
    groups = [group for group in _groups(chunks) if len(group.parts) > 1]

    def fit(group: _Group) -> float:
        """Return how well a list fits: by what it says of itself, then by what its entries say."""
        about = coverage(group.lead, group.title)
        with_name = coverage(group.lead, group.title, chunks[0].document) - about if name else 0.0
        inside = max((coverage(part, group.lead, group.title) for part in group.parts), default=0.0) - about
        return (about + _NAME_SHARE * with_name + 0.5 * inside) * _LISTS[group.kind]

    best = max(groups, key=fit, default=None)
    if best is not None and coverage(best.lead, best.title, *list(best.parts)[:1]) >= _LEAST_COVERAGE:
        return _found(best, _asked_for(best, coverage))
    return _matching_sentences(chunks, coverage)


def _asked_for(group: _Group, coverage: Callable[..., float]) -> list[str]:
    """Return the entries that are asked for: all, or those that are ahead of the others."""
    parts = list(group.parts)
    values = [coverage(part, group.lead, group.title) for part in parts]
    if max(values) - min(values) < _GAIN:
        return parts
    chosen = [part for part, value in zip(parts, values, strict=True) if value >= max(values) - _GAIN]
    # Where most are ahead, the others only lack a word.
    return parts if len(chosen) * 2 > len(parts) or len(chosen) < 2 else chosen


def _found(group: _Group, parts: list[str]) -> FoundList:
    block = LayoutBlock(group.kind, tuple(parts[:MAX_ENTRIES]), lead=group.lead, title=group.title)
    return FoundList(
        chunk=group.chunk,
        text=parts[0],
        shown=shown(block, range(len(block.parts))),
        title=group.title,
        entries=len(block.parts),
        complete=len(parts) <= MAX_ENTRIES,
    )


def _groups(chunks: Sequence[Chunk]) -> list[_Group]:
    """Return the lists of a document; one that goes on in the next chunk is one list."""
    groups: list[_Group] = []
    open_under: tuple[str, ...] | None = None  # the headings of the chunk before, if it ended within a list
    for number, chunk in enumerate(chunks):
        found = blocks(chunk.text, chunk.heading)
        for place, block in enumerate(found):
            if block.kind not in _LISTS:
                continue
            last = groups[-1] if groups else None
            # What stands at the beginning belongs to a title that the chunk before has.
            begins = place == 0 and open_under == tuple(chunk.heading)
            goes_on = (
                last is not None
                and last.kind is block.kind
                and (last.title == block.title or begins)
                and (last.lead == block.lead or (place == 0 and not block.lead))
            )
            if last is None or not goes_on:
                last = _Group(block.kind, block.lead, block.title, number)
                groups.append(last)
            last.parts.update(dict.fromkeys(block.parts))
        open_under = tuple(chunk.heading) if found and found[-1].kind in _LISTS else None
    return groups


def _matching_sentences(chunks: Sequence[Chunk], coverage: Callable[..., float]) -> FoundList | None:
    """Return the sentences that mention what is to be listed."""
    group = _Group(LayoutKind.VALUES, "", "", 0)
    for number, chunk in enumerate(chunks):
        for block in blocks(chunk.text, chunk.heading):
            if block.kind in {LayoutKind.TITLE, LayoutKind.CODE}:
                continue
            for part in block.parts:
                if coverage(part) >= _SENTENCE_COVERAGE:
                    if not group.parts:
                        group.chunk = number
                    group.parts[part] = None
    return _found(group, list(group.parts)) if len(group.parts) > 1 else None
