"""Citations of an answer: a button for each document, and highlighting in passages.

A citation stores its words, not coordinates. They are located by comparing letters and digits only, so that line
breaks, hyphens and typography do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import SequenceMatcher

import streamlit as st

from console.ui.shared.document_text import END_MARK, MARK, document_markdown
from console.ui.shared.formatting import escape, location, shorten
from services.chat.types import Citation
from services.core.i18n import _, listed
from services.knowledge.text.folding import SEPARATOR, fold

Span = tuple[int, int]
Source = tuple[Citation, ...]
"""What an answer cites of one document, by number."""
_MOST_PLACES = 3  # on a button
_SHORT_WORD = 3  # letters
_LEAST_SHARE = 0.6  # of the quote's letters that must match for a location to count as the cited one


def citation_buttons(
    citations: Sequence[Citation], key: str, opened: Collection[int], choose: Callable[[Source, bool], None]
) -> None:
    """Draw one button per document, with the numbers of its sources.

    A click calls `choose` with the source and whether it is open already: it has one of the `opened` numbers.
    """
    if not citations:
        return
    cited = any(citation.cited for citation in citations)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"sources-{key}"):
        st.caption(_("Sources") if cited else _("Retrieved for this answer, not cited"), width="content")
        for source in by_document(citations):
            is_open = any(citation.number in opened for citation in source)
            st.button(
                _label(source),
                key=f"cite-{key}-{source[0].number}",
                help=_tooltip(source),
                icon=":material/right_panel_close:" if is_open else None,
                on_click=choose,
                args=(source, is_open),
            )


def by_document(citations: Sequence[Citation]) -> list[Source]:
    """Return the citations of each document together, in the order of their first numbers.

    What is withheld has no document here: each of those stays by itself.
    """
    found: dict[tuple[int, int], list[Citation]] = {}
    for citation in citations:
        own = citation.number if citation.withheld else 0
        found.setdefault((citation.document_id, own), []).append(citation)
    return [tuple(source) for source in found.values()]


def source_title(source: Source) -> str:
    """Return the numbers of a source, its document and where in it, for a title."""
    where = _places(source)
    return f"{_numbers(source)} · {shorten(source[0].document, 60)}" + (f" · {where}" if where else "")


def _numbers(source: Source) -> str:
    return listed(str(citation.number) for citation in source)


def _places(source: Source) -> str:
    """Return the pages or sheets of a source, "" where they are too many for a button."""
    places = [*dict.fromkeys(filter(None, (location(each.page, each.sheet) for each in source)))]
    return listed(places) if len(places) <= _MOST_PLACES else ""


def _label(source: Source) -> str:
    name = f"{_numbers(source)}  {shorten(source[0].document, 36)}"
    gone = _("deleted since") if source[0].deleted else ""
    return escape(", ".join(part for part in (name, _places(source), gone) if part))


def _tooltip(source: Source) -> str:
    lines = [source[0].document]
    several = len(source) > 1
    for citation in source:
        where = location(citation.page, citation.sheet, citation.heading)
        words = shorten(citation.quote, 120 if several else 240)
        if several:
            lines.append(f"{citation.number}: " + " · ".join(part for part in (where, words) if part))
        else:
            lines += [where, words]
    return "  \n".join(escape(line) for line in lines if line)


def _letters(text: str) -> tuple[str, list[int]]:
    """Return the letters and digits of `text`, folded as for search, and the position of each in `text`."""
    letters: list[str] = []
    positions: list[int] = []
    for position, character in enumerate(text):
        for folded in fold(character):
            if folded.isalnum():
                letters.append(folded)
                positions.append(position)
    return "".join(letters), positions


def find_quote(text: str, quote: str) -> Span | None:
    """Return the span (start, end) of `quote` in `text`, exact or approximate; None if it is not found."""
    wanted, _ = _letters(quote)
    letters, positions = _letters(text)
    if not wanted or not letters:
        return None
    start = letters.find(wanted)
    if start >= 0:
        return positions[start], positions[start + len(wanted) - 1] + 1
    blocks = [
        block
        for block in SequenceMatcher(None, letters, wanted, autojunk=False).get_matching_blocks()
        if block.size >= min(4, len(wanted))
    ]
    if sum(block.size for block in blocks) < _LEAST_SHARE * len(wanted):
        return None
    first, last = blocks[0], blocks[-1]
    if last.a + last.size - first.a > 2 * len(wanted) + 20:  # scattered words are no quote
        return None
    return positions[first.a], positions[last.a + last.size - 1] + 1


def find_terms(text: str, terms: Iterable[str]) -> list[Span]:
    """Return the spans of words in `text` that start with one of `terms`, merged and in order.

    Terms are the lexical search's: word stems, character pairs in scripts without spaces. Short words are skipped:
    a highlighted "the" or "of" would hide the hits.
    """
    letters, positions = _letters(text)
    spans: list[Span] = []
    for term in {_letters(term.replace(SEPARATOR, ""))[0] for term in terms}:
        if not term or (term.isalpha() and term.isascii() and len(term) <= _SHORT_WORD):
            continue
        wordlike = term.isascii()
        at = letters.find(term)
        while at >= 0:
            start, end = positions[at], positions[at + len(term) - 1] + 1
            if end - start <= len(term) and not (wordlike and start and text[start - 1].isalnum()):
                if wordlike:
                    end = _word_end(text, end)
                spans.append((start, end))
            at = letters.find(term, at + 1)
    return merged_spans(spans)


def _word_end(text: str, end: int) -> int:
    while end < len(text) and text[end].isalnum() and text[end].isascii():
        end += 1
    return end


def merged_spans(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch as one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def marked(text: str, spans: Iterable[Span]) -> str:
    """Return a document's text as Markdown with `spans` highlighted."""
    text = text.replace(MARK, " ").replace(END_MARK, " ")
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces.append(text[at:start])
        pieces.append("".join(f"{MARK}{line}{END_MARK}" if line.strip() else line for line in _lines(text[start:end])))
        at = end
    pieces.append(text[at:])
    return document_markdown("".join(pieces))


def _lines(text: str) -> list[str]:
    """Return lines and line ends separately: a highlight must not cross a line break."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        parts.extend((body, line[len(body) :]))
    return parts
