"""The document table: filters, order, pages, selection and bulk actions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from console.ui.session_state import DocumentsState, Key, Query, notify, set_query, state_of
from console.ui.shared.dialogs import close_dialog, confirm_choice, deletion_text, open_dialog, quotes_choice
from console.ui.shared.formatting import count, plain, shorten, size, status_label
from services.core.actor import AccessLevel
from services.core.i18n import _, language, plural
from services.core.languages import ENGLISH
from services.knowledge.library import Library
from services.knowledge.types import UNFINISHED, Document, DocumentStatus

_ROWS = 50
_BUSY = tuple(UNFINISHED)
_COLOURS = {
    DocumentStatus.QUEUED: "gray",
    DocumentStatus.PARSING: "blue",
    DocumentStatus.EMBEDDING: "blue",
    DocumentStatus.READY: "green",
    DocumentStatus.FAILED: "red",
    DocumentStatus.CANCELLED: "orange",
}
_MOST_NAMES = 5  # in the confirmation of a deletion


def document_table(library: Library, collection_id: int | None) -> None:
    """Draw the documents of a collection (None: of all) with filters and bulk actions."""
    actor = page_actor()
    if library.count_documents(actor, collection_ids=(collection_id,) if collection_id is not None else ()) == 0:
        _empty(filtered=False)
        return
    text, statuses, order, descending = _filters()
    filters: dict[str, Any] = {
        "collection_ids": (collection_id,) if collection_id is not None else (),
        "query": text,
        "statuses": statuses,
    }
    total = library.count_documents(actor, **filters)
    if total == 0:
        _empty(filtered=True)
        return
    actions = st.container()
    table = st.container()
    pages = max(1, -(-total // _ROWS))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        number = st.pagination(pages, key=f"{Key.DOCUMENT_PAGE}-{pages}") if pages > 1 else 1
        st.caption(plural("{count} document", "{count} documents", total), width="content")
    documents = library.documents(
        actor, **filters, limit=_ROWS, offset=(number - 1) * _ROWS, order=order, descending=descending
    )
    with table:
        _rows(library, documents, text)
    with actions:
        _bulk_actions(library, documents)


def _filters() -> tuple[str, tuple[DocumentStatus, ...], str, bool]:
    statuses: dict[str, tuple[DocumentStatus, ...]] = {
        _("All"): (),
        _("Ready"): (DocumentStatus.READY,),
        _("In progress"): _BUSY,
        _("Failed"): (DocumentStatus.FAILED, DocumentStatus.CANCELLED),
    }
    orders = {
        _("Newest first"): ("updated_at", True),
        _("Oldest first"): ("updated_at", False),
        _("Name"): ("name", False),
        _("Largest first"): ("size_bytes", True),
        _("Most chunks first"): ("chunks", True),
    }
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            _("Find by name"),
            key=Key.DOCUMENT_SEARCH,
            type="search",
            placeholder=_("Find by name"),
            label_visibility="collapsed",
            live=True,
            width=260,
        )
        status = st.segmented_control(
            _("Status"),
            list(statuses),
            key=Key.DOCUMENT_STATUS,
            default=_("All"),
            required=True,
            label_visibility="collapsed",
        )
        order = st.selectbox(_("Order"), list(orders), key=Key.DOCUMENT_ORDER, label_visibility="collapsed", width=190)
    by, descending = orders[order]
    return (text or "").strip(), statuses.get(status or _("All"), ()), by, descending


def _empty(*, filtered: bool) -> None:
    if filtered:
        st.info(_("Change the filter to see more."), title=_("No matching documents"), icon=":material/search_off:")
    else:
        st.info(
            _("Drop files above. They stay on this machine."),
            title=_("No documents yet"),
            icon=":material/upload_file:",
        )


def _rows(library: Library, documents: Sequence[Document], found_by: str) -> None:
    """Draw the table of `documents`, which were found by this text."""
    import pandas as pd

    state = state_of(DocumentsState)
    ids = tuple(document.id for document in documents)
    if ids != state.shown:  # selection and clicks refer to row numbers: other rows need other widgets
        state.shown = ids
        state.tables += 1
    key = f"documents-{state.tables}"
    frame = pd.DataFrame(
        {
            "open": [":material/open_in_full:"] * len(ids),
            "name": [plain(document.name) for document in documents],
            "notes": ["\n".join(plain(note.text) for note in document.notes) or None for document in documents],
            "status": [[status_label(document.status)] for document in documents],
            "on": [":material/toggle_on:" if document.enabled else ":material/toggle_off:" for document in documents],
            "collection": [plain(document.collection) for document in documents],
            "chunks": [document.chunks for document in documents],
            "pages": [document.pages or None for document in documents],
            "size": [document.size_bytes for document in documents],
            "version": [document.version for document in documents],
            "updated": [document.updated_at for document in documents],
        }
    )
    column = st.column_config
    st.dataframe(
        frame,
        key=key,
        hide_index=True,
        placeholder="",
        height="content" if len(ids) <= 16 else 600,
        alt=_("Documents"),
        on_select=partial(_store_selection, key, ids, found_by),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [row for row, i in enumerate(ids) if i in state.selected]}},
        column_config={
            "open": column.ButtonColumn(
                "",
                width=40,
                type="tertiary",
                key=f"document-open-{state.tables}",
                on_click=_open,
                args=(f"document-open-{state.tables}", ids),
                help=_("Open"),
            ),
            "name": column.TextColumn(_("Name"), width=250),
            "status": column.MultiselectColumn(
                _("Status"),
                options=[status_label(status) for status in _COLOURS],
                color=list(_COLOURS.values()),
                width=96,
            ),
            "on": column.ButtonColumn(
                _("On"),
                width=40,
                type="tertiary",
                key=f"document-toggle-{state.tables}",
                on_click=_toggle,
                args=(library, f"document-toggle-{state.tables}", ids),
                help=_("Whether answers use it"),
            ),
            "collection": column.TextColumn(_("Collection"), width=96),
            "notes": column.TextColumn(_("Notes"), width=150, help=_("What is not in the text, or was added to it")),
            "chunks": column.NumberColumn(_("Chunks"), format="localized", width=66),
            "pages": column.NumberColumn(_("Pages"), format="localized", width=58),
            "size": column.NumberColumn(_("Size"), format="bytes", width=76),
            "version": column.NumberColumn(_("Version"), format="%d", width=62),
            # The browser has "2 hours ago" in English alone.
            "updated": column.DatetimeColumn(
                _("Changed"), format="distance" if language() == ENGLISH else "YYYY-MM-DD HH:mm", width=124
            ),
        },
    )


def _store_selection(key: str, ids: tuple[int, ...], found_by: str) -> None:
    state = state_of(DocumentsState)
    here = {ids[row] for row in st.session_state[key].selection.rows if row < len(ids)}
    kept = state.selected - set(ids)
    if (st.session_state.get(Key.DOCUMENT_SEARCH) or "").strip() != found_by:
        # The browser's table may lose its ticks to the field in which somebody types. The table is drawn anew.
        kept, state.shown = state.selected, ()
    state.selected = kept | here


def _clicked(key: str, ids: tuple[int, ...]) -> int | None:
    """Return the id of the document whose button in the table was pressed."""
    row = int(st.session_state[key].row)
    return ids[row] if row < len(ids) else None


def _open(key: str, ids: tuple[int, ...]) -> None:
    set_query(Query.DOCUMENT, _clicked(key, ids))
    st.rerun()  # the details take the whole page, not this fragment


def _toggle(library: Library, key: str, ids: tuple[int, ...]) -> None:
    document_id = _clicked(key, ids)
    if document_id is not None:
        attempt(_switch, library, document_id)


def _switch(library: Library, document_id: int) -> None:
    actor = page_actor()
    library.set_enabled(actor, [document_id], not library.document(actor, document_id).enabled)


def _bulk_actions(library: Library, documents: Sequence[Document]) -> None:
    state = state_of(DocumentsState)
    selected = sorted(state.selected)
    none = not selected
    writable = library.collections(page_actor(), AccessLevel.WRITE)
    if not writable:
        return  # who may only read does nothing with several documents at once
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
        with st.popover(_("Move to"), key="bulk-move", disabled=none):
            for collection in writable:
                st.button(
                    plain(collection.name),
                    key=f"bulk-move-{collection.id}",
                    type="tertiary",
                    on_click=_move,
                    args=(library, selected, collection.id),
                )
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
            )
        st.button(_("Clear"), key="bulk-clear", type="tertiary", disabled=none, on_click=_clear)


def _move(library: Library, ids: list[int], collection_id: int) -> None:
    attempt(as_visitor(library.move), ids, collection_id)
    _clear()


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
    report = library.delete(page_actor(), ids, erase_quotes=erase_quotes)
    _clear()
    return deletion_text(report)


def _clear() -> None:
    state = state_of(DocumentsState)
    state.selected = frozenset()
    state.tables += 1


def deletion_lines(library: Library, documents: Sequence[Document]) -> tuple[list[str], str]:
    """Return the consequences of deleting `documents` for the confirmation, and its choice as `quotes_choice` does."""
    everything = library.with_attachments(page_actor(), [document.id for document in documents])
    attached = len(everything) - len(documents)
    lines = [shorten(document.name, 80) for document in documents[:_MOST_NAMES]]
    if len(documents) > _MOST_NAMES:
        lines.append(plural("and {count} more", "and {count} more", len(documents) - _MOST_NAMES))
    if attached > 0:
        lines.append(
            plural(
                "With it goes {count} attachment that only it brought.",
                "With it go {count} attachments that only it brought.",
                attached,
            )
            if len(documents) == 1
            else plural(
                "With them goes {count} attachment that only they brought.",
                "With them go {count} attachments that only they brought.",
                attached,
            )
        )
    lines.append(
        plural(
            "Deletes the original files ({size}), {count} chunk, its search terms and vector.",
            "Deletes the original files ({size}), {count} chunks, their search terms and vectors.",
            sum(document.chunks for document in everything),
            size=size(sum(document.size_bytes for document in everything)),
        )
    )
    quotes, choice = quotes_choice(library.quotes.of(page_actor(), [document.id for document in documents]))
    return lines + quotes, choice


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
