"""Citations of an answer: numbered buttons, the passage that each opens, and highlighting in passages.

A citation stores its words, not coordinates. They are located by comparing letters and digits only, so that line
breaks, hyphens and typography do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NoReturn

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import page_actor
from console.ui.session_state import Query
from console.ui.shared.dialogs import open_dialog
from console.ui.shared.document_text import END_MARK, MARK, document_markdown
from console.ui.shared.formatting import escape, location, shorten
from services.chat.types import Citation
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _
from services.knowledge.formats.registry import SHOWN_PAGES
from services.knowledge.library import Library
from services.knowledge.text.folding import SEPARATOR, fold
from services.knowledge.types import Chunk, Document

Span = tuple[int, int]
_SHORT_WORD = 3  # letters
_LEAST_SHARE = 0.6  # of the quote's letters that must match for a location to count as the cited one


def citation_buttons(library: Library, citations: Sequence[Citation], key: str) -> None:
    """Draw one button per source, which opens the passage in a drawer."""
    if not citations:
        return
    cited = any(citation.cited for citation in citations)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"sources-{key}"):
        st.caption(_("Sources") if cited else _("Retrieved for this answer, not cited"), width="content")
        for citation in citations:
            where = location(citation.page, citation.sheet)
            name = shorten(citation.document, 36)
            gone = _("deleted since") if citation.deleted else ""
            label = escape(", ".join(part for part in (f"{citation.number}  {name}", where, gone) if part))
            if st.button(label, key=f"cite-{key}-{citation.number}", help=_tooltip(citation)):
                open_citation(library, citation)


def _tooltip(citation: Citation) -> str:
    words = shorten(citation.quote, 240)
    where = location(citation.page, citation.sheet, citation.heading)
    return "  \n".join(escape(part) for part in (citation.document, where, words) if part)


def open_citation(library: Library, citation: Citation) -> NoReturn:
    """Open the passage with the cited words highlighted, in a drawer on the right."""

    def body() -> None:
        found = _find(library, citation)
        if found is None and (citation.withheld or (not citation.deleted and page_actor().readable() is not None)):
            _unavailable()
        elif found is None:
            _deleted(citation)
        else:
            _passage(library, citation, *found)

    where = location(citation.page, citation.sheet)
    title = shorten(citation.document, 60) + (f" · {where}" if where else "")
    open_dialog(f"{citation.number} · {title}", body, drawer=True)


def _find(library: Library, citation: Citation) -> tuple[Document, Chunk | None] | None:
    """Return the document and the chunk that now contains the cited words; None if the document was deleted."""
    try:
        document = library.document(page_actor(), citation.document_id)
    except NotFoundError:
        return None
    chunk = library.reader.chunk(page_actor(), citation.chunk_id)
    if chunk is None and citation.quote:
        chunk = library.reader.locate(page_actor(), citation.document_id, citation.quote)
    return document, chunk


def _unavailable() -> None:
    st.warning(
        _("It was deleted, or you may not read it at present."),
        title=_("This source is not available to you"),
        icon=":material/lock:",
    )


def _deleted(citation: Citation) -> None:
    st.warning(
        _("Its text is no longer stored. The quote in the answer is below."),
        title=_("The document was deleted"),
        icon=":material/scan_delete:",
    )
    if citation.quote:
        st.markdown(f"> {escape(citation.quote)}")


def _passage(library: Library, citation: Citation, document: Document, chunk: Chunk | None) -> None:
    if not document.enabled:
        st.caption(_("This document is disabled: new answers do not use it."))
    if chunk is None:
        st.warning(
            _("The document has changed since. The quote in the answer is below."),
            title=_("The passage no longer exists"),
            icon=":material/edit_document:",
        )
        if citation.quote:
            st.markdown(f"> {escape(citation.quote)}")
    else:
        if where := location(None, chunk.sheet, chunk.heading):  # the page is in the title
            st.caption(escape(where))
        span = find_quote(chunk.text, citation.quote) if citation.quote else None
        with st.container(border=True):
            st.markdown(marked(chunk.text, [span] if span else []))
    st.page_link(
        page(PageName.DOCUMENTS),
        label=_("Open the document"),
        icon=":material/open_in_full:",
        query_params={Query.DOCUMENT.value: str(document.id)},
    )
    first = chunk.page if chunk is not None else citation.page
    if document.media_type in SHOWN_PAGES and document.pages and first:
        _page(library, document, citation, first)


def _page(library: Library, document: Document, citation: Citation, first: int) -> None:
    number = st.pagination(
        document.pages, default=min(first, document.pages), key=f"source-page-{document.id}-{citation.chunk_id}"
    )
    words = (citation.quote,) if citation.quote and number == first else ()
    try:
        image = library.reader.page_image(page_actor(), document.id, number, width=1000, highlight=words)
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
