"""Citations of an answer: a button for each document, the passages that it opens, and highlighting in passages.

A citation stores its words, not coordinates. They are located by comparing letters and digits only, so that line
breaks, hyphens and typography do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NoReturn

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import page_actor
from console.ui.session_state import Query
from console.ui.shared.dialogs import open_dialog
from console.ui.shared.document_text import END_MARK, MARK, document_markdown
from console.ui.shared.formatting import citation_badge, escape, location, shorten
from services.chat.types import Citation
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _, listed
from services.knowledge.formats.registry import SHOWN_PAGES
from services.knowledge.library import Library
from services.knowledge.text.folding import SEPARATOR, fold
from services.knowledge.types import Chunk, Document

Span = tuple[int, int]
Source = tuple[Citation, ...]
"""What an answer cites of one document, by number."""
_MOST_PLACES = 3  # on a button
_SHORT_WORD = 3  # letters
_LEAST_SHARE = 0.6  # of the quote's letters that must match for a location to count as the cited one


def citation_buttons(library: Library, citations: Sequence[Citation], key: str) -> None:
    """Draw one button per document, with the numbers of its sources; it opens their passages in a drawer."""
    if not citations:
        return
    cited = any(citation.cited for citation in citations)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"sources-{key}"):
        st.caption(_("Sources") if cited else _("Retrieved for this answer, not cited"), width="content")
        for source in by_document(citations):
            if st.button(_label(source), key=f"cite-{key}-{source[0].number}", help=_tooltip(source)):
                open_source(library, source)


def by_document(citations: Sequence[Citation]) -> list[Source]:
    """Return the citations of each document together, in the order of their first numbers.

    What is withheld has no document here: each of those stays by itself.
    """
    found: dict[tuple[int, int], list[Citation]] = {}
    for citation in citations:
        own = citation.number if citation.withheld else 0
        found.setdefault((citation.document_id, own), []).append(citation)
    return [tuple(source) for source in found.values()]


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


def open_source(library: Library, source: Source) -> NoReturn:
    """Open the passages of a document with the cited words highlighted, in a drawer on the right."""
    first = source[0]

    def body() -> None:
        try:
            document = library.document(page_actor(), first.document_id)
        except NotFoundError:
            if first.withheld or (not first.deleted and page_actor().readable() is not None):
                _unavailable()
            else:
                _deleted(source)
            return
        _passages(library, document, source)

    where = _places(source)
    title = shorten(first.document, 60) + (f" · {where}" if where else "")
    open_dialog(f"{_numbers(source)} · {title}", body, drawer=True)


def _chunk(library: Library, citation: Citation) -> Chunk | None:
    """Return the chunk that now contains the cited words, None if there is none."""
    chunk = library.reader.chunk(page_actor(), citation.chunk_id)
    if chunk is None and citation.quote:
        chunk = library.reader.locate(page_actor(), citation.document_id, citation.quote)
    return chunk


def _unavailable() -> None:
    st.warning(
        _("It was deleted, or you may not read it at present."),
        title=_("This source is not available to you"),
        icon=":material/lock:",
    )


def _deleted(source: Source) -> None:
    st.warning(
        _("Its text is no longer stored. The quote in the answer is below."),
        title=_("The document was deleted"),
        icon=":material/scan_delete:",
    )
    _quotes(source)


def _quotes(citations: Sequence[Citation]) -> None:
    for quote in dict.fromkeys(citation.quote for citation in citations if citation.quote):
        st.markdown(f"> {escape(quote)}")


def _passages(library: Library, document: Document, source: Source) -> None:
    """Draw each passage once, with all that is cited from it marked, and the document's pages."""
    if not document.enabled:
        st.caption(_("This document is disabled: new answers do not use it."))
    found: dict[int, tuple[Chunk, list[Citation]]] = {}
    lost: list[Citation] = []
    words: dict[int, list[str]] = {}  # by page
    for citation in source:
        chunk = _chunk(library, citation)
        if chunk is None:
            lost.append(citation)
        else:
            found.setdefault(chunk.id, (chunk, []))[1].append(citation)
        if number := chunk.page if chunk is not None else citation.page:
            words.setdefault(number, []).extend([citation.quote] if citation.quote else [])
    for chunk, citations in found.values():
        _passage(chunk, citations, numbered=len(source) > 1)
    if lost:
        st.warning(
            _("The document has changed since. The quote in the answer is below."),
            title=_("The passage no longer exists"),
            icon=":material/edit_document:",
        )
        _quotes(lost)
    st.page_link(
        page(PageName.DOCUMENTS),
        label=_("Open the document"),
        icon=":material/open_in_full:",
        query_params={Query.DOCUMENT.value: str(document.id)},
    )
    if document.media_type in SHOWN_PAGES and document.pages and words:
        _page(library, document, source[0], words)


def _passage(chunk: Chunk, citations: Sequence[Citation], *, numbered: bool) -> None:
    # Of one passage the page is in the title.
    where = escape(location(chunk.page if numbered else None, chunk.sheet, chunk.heading))
    badges = " ".join(citation_badge(citation.number) for citation in citations) if numbered else ""
    if badges or where:
        st.caption(" ".join(part for part in (badges, where) if part))
    spans = [find_quote(chunk.text, citation.quote) for citation in citations if citation.quote]
    with st.container(border=True):
        st.markdown(marked(chunk.text, _merged([span for span in spans if span is not None])))


def _page(library: Library, document: Document, first: Citation, words: Mapping[int, Sequence[str]]) -> None:
    """Draw a page of a document, at first that of its first citation; `words` are marked, by page."""
    number = st.pagination(
        document.pages,
        default=min(next(iter(words)), document.pages),
        key=f"source-page-{document.id}-{first.chunk_id}",
    )
    try:
        image = library.reader.page_image(
            page_actor(), document.id, number, width=1000, highlight=tuple(words.get(number, ()))
        )
    except MillpondError as error:
        st.caption(escape(str(error)))
        return
    with st.container(border=True):
        st.image(image, width="stretch", alt=_("Page {number}").format(number=number))


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
    return _merged(spans)


def _word_end(text: str, end: int) -> int:
    while end < len(text) and text[end].isalnum() and text[end].isascii():
        end += 1
    return end


def _merged(spans: list[Span]) -> list[Span]:
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
