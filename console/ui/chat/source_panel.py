"""A source beside the conversation: the passages of a document that an answer cites, with all that it quotes marked.

The address keeps it open: `source` is the answer's id and the number of the citation whose passage is in view.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.session_state import ChatState, Query, SourceState, query, set_query, state_of
from console.ui.shared.citations import Source, by_document, find_quote, marked, merged_spans, source_title
from console.ui.shared.formatting import citation_badge, escape, location
from services.app.container import Services
from services.chat.types import Citation
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _
from services.knowledge.formats.registry import SHOWN_PAGES
from services.knowledge.library import Library
from services.knowledge.types import Chunk, Document

_ADDRESS = re.compile(r"([1-9][0-9]{0,17})\.([0-9]{1,4})")
_MOST_AROUND = 50  # passages before and after what is cited
# Brings the passage that was stepped to into view, within the panel alone: the conversation beside it stays.
_JS = """
export default function ({ data, parentElement }) {
  if (parentElement.shown === data.passage) return
  parentElement.shown = data.passage
  let looks = 0
  const look = () => {
    const passage = document.querySelector(`.st-key-source-panel .st-key-${data.passage}`)
    const pane = document.querySelector(".st-key-source-passages")?.parentElement
    if (passage && pane) pane.scrollTop += passage.getBoundingClientRect().top - pane.getBoundingClientRect().top - 8
    else if (parentElement.isConnected && ++looks < 50) setTimeout(look, 100)
  }
  look()
}
"""
_component = st.components.v2.component("millpond_source", js=_JS)


@dataclass(frozen=True, slots=True)
class _CitedPassage:
    """A passage of the document and what the answer cites of it: nothing where it is there to be read on."""

    chunk: Chunk
    citations: list[Citation] = field(default_factory=list)


def opened_source() -> tuple[int, int] | None:
    """Return the source in the address: the id of its answer and the number of a citation; None without one."""
    found = _ADDRESS.fullmatch(query(Query.SOURCE))
    return (int(found[1]), int(found[2])) if found else None


def open_source(message_id: int, source: Source, is_open: bool) -> None:
    """Open a source of an answer beside the conversation; close it where it `is_open`."""
    _go_to("" if is_open else f"{message_id}.{source[0].number}")


def _go_to(address: str) -> None:
    set_query(Query.SOURCE, address)
    state_of(ChatState).source = address


@st.fragment
@guarded
def source_panel(services: Services, conversation_id: str) -> None:
    """Draw the source in the address."""
    opened = opened_source()
    if opened is None:
        st.rerun()
    message_id, number = opened
    source = _cited(services, conversation_id, message_id, number)
    with st.container(border=True, gap="small", key="source-panel"):
        if source is None:
            _head(_("Source"))
            st.warning(
                _("The answer was replaced, or the link is wrong."),
                title=_("This source is not there any more"),
                icon=":material/scan_delete:",
            )
            return
        _source(services.library, source, message_id, number)


def _cited(services: Services, conversation_id: str, message_id: int, number: int) -> Source | None:
    """Return what the answer cites of the document of citation `number`, None where there is none."""
    found = services.conversations.messages(page_actor(), conversation_id, limit=1, before=message_id + 1)
    if not found or found[-1].id != message_id:
        return None
    sources = by_document(found[-1].citations)
    return next((source for source in sources if any(each.number == number for each in source)), None)


def _head(title: str) -> None:
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", key="source-head"):
        st.markdown(f"**{escape(title)}**", width="stretch")
        if st.button(_("Close"), key="source-close", icon=":material/close:", type="tertiary"):
            _go_to("")
            st.rerun()


def _source(library: Library, source: Source, message_id: int, number: int) -> None:
    first = source[0]
    try:
        document = library.document(page_actor(), first.document_id)
    except NotFoundError:
        _head(source_title(source))
        if first.withheld or (not first.deleted and page_actor().readable() is not None):
            _unavailable()
        else:
            _deleted(source)
        return
    passages, lost = _found(library, source)
    at = next((place for place, each in enumerate(passages) if _has(each, number)), 0)
    _head(source_title(source))
    if len(passages) > 1:
        _steps(passages, at, message_id)
    with st.container(gap="small", key="source-passages"):
        if not document.enabled:
            st.caption(_("This document is disabled: new answers do not use it."))
        _passages(library, document, passages, message_id)
        if lost:
            _lost(lost)
        st.page_link(
            page(PageName.DOCUMENTS),
            label=_("Open the document"),
            icon=":material/open_in_full:",
            query_params={Query.DOCUMENT.value: str(document.id)},
        )
        words = _words(passages, lost)
        if document.media_type in SHOWN_PAGES and document.pages and words:
            here = passages[at].chunk.page if passages else None
            _page(library, document, here or next(iter(words)), words, f"{message_id}-{number}")
    if passages:
        _component(key="source-in-view", data={"passage": f"passage-{passages[at].chunk.id}"}, height=1)


def _has(passage: _CitedPassage, number: int) -> bool:
    return any(citation.number == number for citation in passage.citations)


def _found(library: Library, source: Source) -> tuple[list[_CitedPassage], list[Citation]]:
    """Return the passages that are cited, in reading order, and the citations whose passage is not found any more."""
    found: dict[int, _CitedPassage] = {}
    lost: list[Citation] = []
    for citation in source:
        chunk = library.reader.chunk(page_actor(), citation.chunk_id)
        if chunk is None and citation.quote:
            chunk = library.reader.locate(page_actor(), citation.document_id, citation.quote)
        if chunk is None:
            lost.append(citation)
        else:
            found.setdefault(chunk.id, _CitedPassage(chunk)).citations.append(citation)
    return sorted(found.values(), key=lambda each: each.chunk.position), lost


def _words(passages: Sequence[_CitedPassage], lost: Sequence[Citation]) -> dict[int, list[str]]:
    """Return what is quoted of each page."""
    words: dict[int, list[str]] = {}
    cited = [(each.chunk.page, citation) for each in passages for citation in each.citations]
    for number, citation in [*cited, *((citation.page, citation) for citation in lost)]:
        if number:
            words.setdefault(number, []).extend([citation.quote] if citation.quote else [])
    return words


def _steps(passages: Sequence[_CitedPassage], at: int, message_id: int) -> None:
    """Draw which of the passages is in view, with buttons to the one before and the next one."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="source-steps"):
        for place, label, icon, key in (
            (at - 1, _("Previous passage"), ":material/keyboard_arrow_up:", "source-previous"),
            (at + 1, _("Next passage"), ":material/keyboard_arrow_down:", "source-next"),
        ):
            exists = 0 <= place < len(passages)
            to = passages[place].citations[0].number if exists else 0
            st.button(
                label,
                key=key,
                icon=icon,
                type="tertiary",
                disabled=not exists,
                on_click=_go_to,
                args=(f"{message_id}.{to}",),
            )
        st.caption(_("{number} of {count}").format(number=at + 1, count=len(passages)), width="content")


def _passages(library: Library, document: Document, cited: Sequence[_CitedPassage], message_id: int) -> None:
    """Draw the cited passages, and as many before and after them as were asked for."""
    if not cited:
        return
    state = state_of(SourceState)
    if state.of != (message_id, document.id):
        state.of, state.before, state.after = (message_id, document.id), 0, 0
    first, last = cited[0].chunk.position, cited[-1].chunk.position
    start = max(0, first - state.before)
    before = library.reader.chunks(page_actor(), document.id, first - start, start)
    after = library.reader.chunks(page_actor(), document.id, state.after + 1, last + 1)
    if start and state.before < _MOST_AROUND:
        _more(_("Text before"), ":material/expand_less:", "source-before", 1, 0)
    numbered = sum(len(each.citations) for each in cited) > 1
    for passage in (*map(_CitedPassage, before), *cited, *map(_CitedPassage, after[: state.after])):
        _passage(passage, numbered=numbered)
    if len(after) > state.after and state.after < _MOST_AROUND:
        _more(_("Text after"), ":material/expand_more:", "source-after", 0, 1)


def _more(label: str, icon: str, key: str, before: int, after: int) -> None:
    st.button(label, key=key, icon=icon, type="tertiary", on_click=_widen, args=(before, after))


def _widen(before: int, after: int) -> None:
    state = state_of(SourceState)
    state.before, state.after = state.before + before, state.after + after


def _passage(passage: _CitedPassage, *, numbered: bool) -> None:
    chunk, cited = passage.chunk, passage.citations
    # Of one passage the page is in the title.
    where = escape(location(chunk.page if numbered else None, chunk.sheet, chunk.heading))
    badges = " ".join(citation_badge(citation.number) for citation in cited) if numbered else ""
    spans = [find_quote(chunk.text, citation.quote) for citation in cited if citation.quote]
    with st.container(gap="xsmall", key=f"passage-{chunk.id}"):
        if badges or where:
            st.caption(" ".join(part for part in (badges, where) if part))
        with st.container(border=bool(cited)):
            st.markdown(marked(chunk.text, merged_spans(span for span in spans if span is not None)))


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


def _lost(citations: Sequence[Citation]) -> None:
    st.warning(
        _("The document has changed since. The quote in the answer is below."),
        title=_("The passage no longer exists"),
        icon=":material/edit_document:",
    )
    _quotes(citations)


def _quotes(citations: Sequence[Citation]) -> None:
    for quote in dict.fromkeys(citation.quote for citation in citations if citation.quote):
        st.markdown(f"> {escape(quote)}")


def _page(library: Library, document: Document, first: int, words: Mapping[int, Sequence[str]], key: str) -> None:
    """Draw a page of a document, at `first` that of the passage in view; `words` are marked, by page."""
    pages = document.pages or 1
    number = st.pagination(pages, default=min(first, pages), key=f"source-page-{key}")
    try:
        image = library.reader.page_image(
            page_actor(), document.id, number, width=1000, highlight=tuple(words.get(number, ()))
        )
    except MillpondError as error:
        st.caption(escape(str(error)))
        return
    with st.container(border=True):
        st.image(image, width="stretch", alt=_("Page {number}").format(number=number))
