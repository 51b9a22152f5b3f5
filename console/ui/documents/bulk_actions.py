"""What is done with several documents at once, and what new chunks of some are asked with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.documents.deletion import deletion_lines, deletion_offers, undone_within
from console.ui.documents.move import move_menu, undo_offer
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from console.ui.session_state import DocumentsState, notify, state_of
from console.ui.shared.dialogs import close_dialog, confirm_choice, open_dialog
from console.ui.shared.formatting import count
from services.core.actor import AccessLevel
from services.core.i18n import _, plural
from services.knowledge.library import Library
from services.knowledge.types import Document


def bulk_actions(library: Library, documents: Sequence[Document]) -> None:
    """Draw what can be done with the selected documents; `documents` are those of the table's rows."""
    state = state_of(DocumentsState)
    selected = sorted(state.selected)
    none = not selected
    writable = library.collections(page_actor(), AccessLevel.WRITE)
    if not writable:
        return  # who may only read does nothing with several documents at once
    offered = deletion_offers(library)
    if none and (undo_offer(library) or offered):
        return  # in its place: the table stays where it is
    with st.container(horizontal=True, vertical_alignment="center", key="bulk-actions"):
        st.caption(
            _("Select rows for bulk actions")
            if none
            else plural("{count} selected", "{count} selected", len(selected)),
            width="content",
        )
        st.button(
            _("Enable"),
            key="bulk-enable",
            disabled=none,
            on_click=attempt,
            args=(as_visitor(library.set_enabled), selected, True),
        )
        st.button(
            _("Disable"),
            key="bulk-disable",
            disabled=none,
            on_click=attempt,
            args=(as_visitor(library.set_enabled), selected, False),
        )
        move_menu(library, selected, writable, _clear)
        if st.button(_("Re-chunk"), key="bulk-rechunk", disabled=none):
            ask_rechunk(library, selected)
        st.button(_("Re-embed"), key="bulk-reembed", disabled=none, on_click=_reembed, args=(library, selected))
        st.button(_("Read again"), key="bulk-reread", disabled=none, on_click=_reread, args=(library, selected))
        if st.button(_("Delete"), key="bulk-delete", disabled=none, icon=":material/delete:"):
            known = {document.id: document for document in documents}
            chosen = [known.get(i) or attempt(as_visitor(library.document), i) for i in selected]
            lines, choice = deletion_lines(library, [document for document in chosen if document is not None])
            confirm_choice(
                plural("Delete {count} document?", "Delete {count} documents?", len(selected)),
                lines,
                _("Delete"),
                choice,
                partial(_delete, library, selected),
                undone_by=undone_within(library.delayed),
                destructive=True,
            )
        st.button(_("Clear"), key="bulk-clear", type="tertiary", disabled=none, on_click=_clear)


def _reembed(library: Library, ids: list[int]) -> None:
    jobs = attempt(as_visitor(library.jobs.reembed), ids)
    if jobs is not None:
        notify(_("{count} re-embedding jobs queued.").format(count=count(len(jobs))))
        _clear()


def _reread(library: Library, ids: list[int]) -> None:
    jobs = attempt(as_visitor(library.jobs.reread), ids)
    if jobs is not None:
        notify(plural("{count} document is read again.", "{count} documents are read again.", len(jobs)))
        _clear()


def _delete(library: Library, ids: list[int], erase_quotes: bool) -> str:
    library.delayed.documents(page_actor(), ids, erase_quotes=erase_quotes)
    _clear()
    return ""


def _clear() -> None:
    state = state_of(DocumentsState)
    state.selected = frozenset()
    state.cleared = state.tables
    state.tables += 1


def ask_rechunk(library: Library, ids: Sequence[int]) -> NoReturn:
    """Ask for a chunk size, then queue jobs that rebuild the chunks."""

    def body() -> None:
        st.markdown(_("The old chunks stay in use until the new ones are ready."))
        with st.form("rechunk-form", border=False):
            tokens = st.number_input(_("Maximum chunk size in tokens"), 16, 4096, 200, step=8, key="rechunk-tokens")
            overlap = st.number_input(
                _("Overlap of neighbouring chunks in tokens"), 0, 1024, 24, step=4, key="rechunk-overlap"
            )
            if st.form_submit_button(_("Re-chunk"), type="primary"):
                jobs = library.jobs.rechunk(page_actor(), ids, chunk_tokens=int(tokens), overlap=int(overlap))
                notify(plural("{count} re-chunking job queued.", "{count} re-chunking jobs queued.", len(jobs)))
                close_dialog()

    open_dialog(plural("Re-chunk {count} document", "Re-chunk {count} documents", len(ids)), body)
