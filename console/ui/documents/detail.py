"""Details of one document: facts, actions, chunks, text and page images."""

from __future__ import annotations

from functools import partial

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import page_actor
from console.ui.documents.bulk_actions import ask_rechunk
from console.ui.documents.deletion import deletion_lines, undone_within
from console.ui.documents.filters import filters_in_address
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor, may_write
from console.ui.session_state import Query, set_query
from console.ui.shared.dialogs import confirm_choice
from console.ui.shared.document_text import document_markdown
from console.ui.shared.formatting import (
    ago,
    escape,
    location,
    plain,
    progress_label,
    shorten,
    size,
    status_label,
)
from console.ui.shared.page_heading import page_heading
from console.ui.shared.remedy_links import show_problem
from services.core.i18n import _, plural
from services.knowledge.file_names import SEPARATOR
from services.knowledge.formats.registry import SHOWN_PAGES
from services.knowledge.library import Library
from services.knowledge.types import UNFINISHED, Document, DocumentStatus, Recognition

_CHUNKS = 20
_SECTIONS = 20
_LINKS = 12


def document_view(library: Library, document: Document) -> None:
    """Draw the details of a document."""
    if st.button(_("All documents"), icon=":material/arrow_back:", type="tertiary", key="document-back"):
        set_query(Query.DOCUMENT, None)
        st.rerun()
    page_heading(document.name)
    _facts(document)
    _actions(library, document)
    if document.error:
        show_problem(document.error, document.hint)
    if document.notes:
        lines = "\n".join(f"- {escape(note.text)}" for note in document.notes)
        st.info(lines, title=_("How this file was read"), icon=":material/info:")
    if document.recognition is not None:
        st.caption(recognition_text(document.recognition))
    _attachments(library, document)
    names = [_("Chunks"), _("Text"), *([_("Pages")] if document.media_type in SHOWN_PAGES and document.pages else [])]
    tabs = st.tabs(names, on_change="rerun", key="document-tabs")
    for tab, draw in zip(tabs, (_chunks, _text, _pages), strict=False):
        if tab.open:
            with tab:
                draw(library, document)


def _facts(document: Document) -> None:
    colour = {DocumentStatus.READY: "green", DocumentStatus.FAILED: "red"}.get(document.status, "gray")
    busy = document.status in UNFINISHED
    parts = [
        _("version {number}").format(number=document.version),
        size(document.size_bytes),
        plural("{count} page", "{count} pages", document.pages) if document.pages else "",
        plural("{count} chunk", "{count} chunks", document.chunks),
        escape(document.collection),
        _("changed {when}").format(when=ago(document.updated_at)),
    ]
    label = progress_label(document.status, document.progress) if busy else status_label(document.status)
    off = "" if document.enabled else f" :orange-badge[{_('Disabled')}]"
    st.markdown(f":{colour}-badge[{escape(label)}]{off} " + " · ".join(part for part in parts if part))
    st.caption(_("sha256 {digest}").format(digest=escape(document.sha256)))


def _attachments(library: Library, document: Document) -> None:
    """Draw links to the documents that this one brought, and to those that brought it."""
    brought, brought_by = library.relatives(page_actor(), document.id, _LINKS + 1)
    for title, found in ((_("Attachments"), brought), (_("Came with"), brought_by)):
        if not found:
            continue
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(title, width="content")
            for each in found[:_LINKS]:
                st.page_link(
                    page(PageName.DOCUMENTS),
                    label=plain(shorten(each.name.removeprefix(document.name + SEPARATOR), 60)),
                    icon=":material/attach_file:",
                    query_params=filters_in_address() | {Query.DOCUMENT.value: str(each.id)},
                )
            if len(found) > _LINKS:
                st.caption(_("and more"), width="content")


def _actions(library: Library, document: Document) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.toggle(
            _("Use in answers"),
            value=document.enabled,
            key=f"document-enabled-{document.id}-{document.enabled}",
            on_change=attempt,
            args=(as_visitor(library.set_enabled), [document.id], not document.enabled),
            disabled=not may_write(document.collection_id),
            help=None if may_write(document.collection_id) else _("You may read this document, but not change it."),
        )
        _download(library, document)
        if not may_write(document.collection_id):
            return
        if document.job_id is not None and document.status in {DocumentStatus.FAILED, DocumentStatus.CANCELLED}:
            st.button(
                _("Retry"),
                key="document-retry",
                on_click=attempt,
                args=(as_visitor(library.jobs.retry), document.job_id),
            )
        if st.button(_("Re-chunk"), key="document-rechunk"):
            ask_rechunk(library, [document.id])
        st.button(
            _("Re-embed"),
            key="document-reembed",
            on_click=attempt,
            args=(as_visitor(library.jobs.reembed), [document.id]),
        )
        st.button(
            _("Read again"),
            key="document-reread",
            on_click=attempt,
            args=(as_visitor(library.jobs.reread), [document.id]),
            help=_("The original is read once more, as this version and its settings do."),
        )
        if st.button(_("Delete"), key="document-delete", icon=":material/delete:"):
            lines, choice = deletion_lines(library, [document])
            confirm_choice(
                _("Delete this document?"),
                lines,
                _("Delete"),
                choice,
                partial(_delete, library, document.id),
                undone_by=undone_within(library.delayed),
                destructive=True,
            )


def _download(library: Library, document: Document) -> None:
    if not library.reader.has_original(page_actor(), document.id):  # that of an unreadable file is not kept
        return
    # Streamed from disk by the API; st.download_button would hold the file in RAM.
    st.link_button(_("Download original"), f"./api/documents/{document.id}/original", icon=":material/download:")


def _delete(library: Library, document_id: int, erase_quotes: bool) -> str:
    library.delayed.documents(page_actor(), [document_id], erase_quotes=erase_quotes)
    set_query(Query.DOCUMENT, None)
    return ""


def _chunks(library: Library, document: Document) -> None:
    if not document.chunks:
        st.caption(_("No chunks yet."))
        return
    pages = -(-document.chunks // _CHUNKS)
    number = st.pagination(pages, key=f"chunk-page-{document.id}-{pages}") if pages > 1 else 1
    for chunk in library.reader.chunks(page_actor(), document.id, limit=_CHUNKS, offset=(number - 1) * _CHUNKS):
        with st.container(border=True, gap="xsmall"):
            where = location(chunk.page, chunk.sheet, chunk.heading)
            tokens = plural("{count} token", "{count} tokens", chunk.tokens)
            title = " · ".join(part for part in (f"{chunk.position + 1}", where, tokens) if part)
            st.caption(escape(title))
            st.markdown(document_markdown(chunk.text))


def _text(library: Library, document: Document) -> None:
    sections = library.reader.sections(page_actor(), document.id)
    if not sections:
        st.caption(_("No text yet."))
        return
    pages = -(-len(sections) // _SECTIONS)
    number = st.pagination(pages, key=f"text-page-{document.id}-{pages}") if pages > 1 else 1
    for section in sections[(number - 1) * _SECTIONS : number * _SECTIONS]:
        if where := location(section.page, section.sheet, section.heading):
            st.caption(escape(where))
        st.markdown(document_markdown(section.text))


def _pages(library: Library, document: Document) -> None:
    number = st.pagination(document.pages, key=f"page-{document.id}")
    image = library.reader.page_image(page_actor(), document.id, number, width=1000)
    if document.recognition is not None:
        sure = {page.page: page.confidence for page in library.reader.recognized_pages(page_actor(), document.id)}
        if number in sure:
            share = f"{sure[number]:.0%}"
            st.caption(_("Read by text recognition (confidence {share}).").format(share=share))
    with st.container(border=True, width=860):
        st.image(image, width="stretch", alt=_("Page {number}").format(number=number))


def recognition_text(recognition: Recognition) -> str:
    """Return which pages text recognition read, and how sure it was, as a sentence."""
    return plural(
        "Text recognition read page {pages}; it is {mean} sure on the average, and {least} where it is least so "
        "(page {page}).",
        "Text recognition read pages {pages}; it is {mean} sure on the average, and {least} where it is least so "
        "(page {page}).",
        recognition.count,
        pages=recognition.pages,
        mean=f"{recognition.confidence:.0%}",
        least=f"{recognition.least_confidence:.0%}",
        page=str(recognition.least_page),
    )
