"""The document table: its rows, their selection, and the buttons in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.documents.bulk_actions import bulk_actions
from console.ui.documents.deletion import deletion_offers
from console.ui.documents.filters import page_choice, table_filters
from console.ui.documents.move import undo_offer
from console.ui.error_boundary import attempt
from console.ui.session_state import DocumentsState, Key, Query, set_query, state_of
from console.ui.shared.formatting import cut_middle, plain, size_unit, status_label
from services.core.i18n import _, language, plural
from services.core.languages import ENGLISH
from services.knowledge.library import Library
from services.knowledge.types import Document, DocumentStatus

_ROWS = 50
_NAME_COLUMNS = 40  # about as many letters as the column is wide
_DIMMED = "color: #717c7e"  # has a contrast of 4.2 on the light and on the dark ground
_COLOURS = {
    DocumentStatus.QUEUED: "gray",
    DocumentStatus.PARSING: "blue",
    DocumentStatus.EMBEDDING: "blue",
    DocumentStatus.READY: "green",
    DocumentStatus.FAILED: "red",
    DocumentStatus.CANCELLED: "orange",
}


def document_table(library: Library, collection_id: int | None) -> None:
    """Draw the documents of a collection (None: of all) with filters and bulk actions."""
    actor = page_actor()
    collection_ids = (collection_id,) if collection_id is not None else ()
    if library.count_documents(actor, collection_ids=collection_ids) == 0:
        undo_offer(library)
        deletion_offers(library)
        _empty(filtered=False)
        return
    chosen = table_filters()
    filters: dict[str, Any] = {
        "collection_ids": collection_ids,
        "query": chosen.text,
        "statuses": chosen.statuses,
    }
    total = library.count_documents(actor, **filters)
    if total == 0:
        undo_offer(library)
        deletion_offers(library)
        _empty(filtered=True)
        return
    actions = st.container()
    table = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        number = page_choice(max(1, -(-total // _ROWS)))
        st.caption(plural("{count} document", "{count} documents", total), width="content")
    documents = library.documents(
        actor,
        **filters,
        limit=_ROWS,
        offset=(number - 1) * _ROWS,
        order=chosen.order,
        descending=chosen.descending,
    )
    with table:
        _rows(library, documents, chosen.text)
    with actions:
        bulk_actions(library, documents)


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
    going = {document.id for document in documents if library.delayed.is_waiting(document.id)}
    unused = [not document.enabled or document.id in going for document in documents]
    unit = size_unit([document.size_bytes for document in documents])
    frame = pd.DataFrame(
        {
            "open": [":material/open_in_full:"] * len(ids),
            "name": [cut_middle(document.name, _NAME_COLUMNS) for document in documents],
            "notes": ["\n".join(plain(note.text) for note in document.notes) or None for document in documents],
            "status": [[status_label(document.status)] for document in documents],
            "on": [_use(document, document.id in going) for document in documents],
            "collection": [plain(document.collection) for document in documents],
            "chunks": [document.chunks for document in documents],
            "pages": [document.pages or None for document in documents],
            "size": unit.column(document.size_bytes for document in documents),
            "version": [document.version for document in documents],
            "updated": [document.updated_at for document in documents],
        }
    )
    column = st.column_config
    st.dataframe(
        _dimmed(frame, unused) if any(unused) else frame,
        key=key,
        hide_index=True,
        placeholder="",
        height="content" if len(ids) <= 16 else 600,
        alt=_("Documents"),
        on_select=partial(_store_selection, state.tables, ids, found_by),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [row for row, i in enumerate(ids) if i in state.selected]}},
        column_config={  # widths that show all columns in a window of 1440 pixels
            "open": column.ButtonColumn(
                "",
                width=36,
                type="tertiary",
                key=f"document-open-{state.tables}",
                on_click=_open,
                args=(f"document-open-{state.tables}", ids),
                help=_("Open"),
            ),
            "name": column.TextColumn(_("Name"), width=252),
            "status": column.MultiselectColumn(
                _("Status"),
                options=[status_label(status) for status in _COLOURS],
                color=list(_COLOURS.values()),
                width=96,
            ),
            "on": column.ButtonColumn(
                _("On"),
                width=90,
                type="tertiary",
                key=f"document-toggle-{state.tables}",
                on_click=_toggle,
                args=(library, f"document-toggle-{state.tables}", ids),
                help=_("Whether answers use it"),
            ),
            "collection": column.TextColumn(_("Collection"), width=88),
            "notes": column.TextColumn(_("Notes"), width=68, help=_("What is not in the text, or was added to it")),
            "chunks": column.NumberColumn(_("Chunks"), format="localized", width=60),
            "pages": column.NumberColumn(_("Pages"), format="localized", width=52),
            "size": column.NumberColumn(_("Size, {unit}").format(unit=unit.name), format=unit.number, width=74),
            "version": column.NumberColumn(_("Version"), format="%d", width=62),
            # The browser has "2 hours ago" in English alone.
            "updated": column.DatetimeColumn(
                _("Changed"), format="distance" if language() == ENGLISH else "YYYY-MM-DD HH:mm", width=124
            ),
        },
    )


def _use(document: Document, going: bool) -> str:
    if going:
        return f":material/delete: {_('Deleting')}"
    if document.enabled:
        return f":material/toggle_on: {_('Enabled')}"
    return f":material/toggle_off: {_('Disabled')}"


def _dimmed(frame: Any, unused: Sequence[bool]) -> Any:
    """Return the table with the rows of documents that are not used, or not for long, in grey.

    pandas takes some 10 ms for it and has its template engine imported: a table without such rows goes without.
    """
    colours = [_DIMMED if each else "" for each in unused]
    return frame.style.format(na_rep="").apply(lambda _column: colours)


def _store_selection(number: int, ids: tuple[int, ...], found_by: str) -> None:
    state = state_of(DocumentsState)
    if number <= state.cleared:
        return  # the browser tells once more of rows that were ticked before they were acted on
    here = {ids[row] for row in st.session_state[f"documents-{number}"].selection.rows if row < len(ids)}
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
