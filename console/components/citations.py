"""Sources of an answer: numbered buttons, and the passage that each opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import streamlit as st

from console.components.dialogs import request
from console.components.document_view import PDF
from console.components.formatting import escape, place, shorten
from console.components.highlighting import find_quote, marked
from console.navigation import PageName, page
from console.state import Query
from services.chat.types import Citation
from services.errors import MillpondError, NotFoundError
from services.knowledge.library import Library
from services.knowledge.types import Chunk, Document
from services.texts import _


def citation_buttons(library: Library, citations: Sequence[Citation], key: str) -> None:
    """Draw one button for each source; it opens the passage at the side."""
    if not citations:
        return
    cited = any(citation.cited for citation in citations)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"sources-{key}"):
        st.caption(_("Sources") if cited else _("Read for this answer, not cited"), width="content")
        for citation in citations:
            where = place(citation.page, citation.sheet)
            name = shorten(citation.document, 36)
            label = escape(f"{citation.number}  {name}" + (f", {where}" if where else ""))
            if st.button(label, key=f"cite-{key}-{citation.number}", help=_tooltip(citation)):
                open_citation(library, citation)


def _tooltip(citation: Citation) -> str:
    words = shorten(citation.quote, 240)
    where = place(citation.page, citation.sheet, citation.heading)
    return "  \n".join(escape(part) for part in (citation.document, where, words) if part)


def open_citation(library: Library, citation: Citation) -> NoReturn:
    """Open the passage with the cited words marked, in a drawer on the right."""

    def body() -> None:
        found = _find(library, citation)
        if found is None:
            _gone(citation)
        else:
            _passage(library, citation, *found)

    where = place(citation.page, citation.sheet)
    title = shorten(citation.document, 60) + (f" · {where}" if where else "")
    request(f"{citation.number} · {title}", body, drawer=True)


def _find(library: Library, citation: Citation) -> tuple[Document, Chunk | None] | None:
    """Return the document and the chunk that has the cited words now; None when the document is gone."""
    try:
        document = library.document(citation.document_id)
    except NotFoundError:
        return None
    chunk = library.chunk(citation.chunk_id)
    if chunk is None and citation.quote:
        chunk = library.locate(citation.document_id, citation.quote)
    return document, chunk


def _gone(citation: Citation) -> None:
    st.warning(
        _("Its text is no longer kept. What the answer quoted from it is below."),
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
            _("The document has changed since. What the answer quoted is below."),
            title=_("The passage is not there any more"),
            icon=":material/edit_document:",
        )
        if citation.quote:
            st.markdown(f"> {escape(citation.quote)}")
    else:
        if where := place(None, chunk.sheet, chunk.heading):  # the page is in the title
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
    if document.media_type == PDF and document.pages and first:
        _page(library, document, citation, first)


def _page(library: Library, document: Document, citation: Citation, first: int) -> None:
    number = st.pagination(
        document.pages, default=min(first, document.pages), key=f"source-page-{document.id}-{citation.chunk_id}"
    )
    words = (citation.quote,) if citation.quote and number == first else ()
    try:
        image = library.page_image(document.id, number, width=1000, highlight=words)
    except MillpondError as error:
        st.caption(escape(f"{error.message} {error.hint}"))
        return
    with st.container(border=True):
        st.image(image, width="stretch", alt=_("Page {number}").format(number=number))
