"""What the document table shows: text, status, order and page. The address keeps it, so that it is the same after a
visit to a document, a reload, and with the browser's Back."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from console.ui.session_state import DocumentsState, Key, OpenPage, Query, query, query_number, set_query, state_of
from console.ui.streamlit.internals import is_history_navigation
from services.core.i18n import _
from services.knowledge.types import UNFINISHED, DocumentStatus

# By the words of the address, which are the same in all languages; the first of each is not in it.
_STATUSES: dict[str, tuple[DocumentStatus, ...]] = {
    "all": (),
    "ready": (DocumentStatus.READY,),
    "progress": tuple(UNFINISHED),
    "failed": (DocumentStatus.FAILED, DocumentStatus.CANCELLED),
}
_ORDERS = {
    "newest": ("updated_at", True),
    "oldest": ("updated_at", False),
    "name": ("name", False),
    "largest": ("size_bytes", True),
    "chunks": ("chunks", True),
}
_LONGEST = 200  # characters of a search that the address keeps
_KEPT = (Query.COLLECTION, Query.FIND, Query.STATUS, Query.ORDER, Query.PAGE)


@dataclass(frozen=True)
class TableFilters:
    """Which documents the table has, and in which order."""

    text: str
    statuses: tuple[DocumentStatus, ...]
    order: str
    descending: bool


def table_filters() -> TableFilters:
    """Draw the filters and return what they say."""
    _follow_address()
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            _("Find by name"),
            key=Key.DOCUMENT_SEARCH,
            type="search",
            placeholder=_("Find by name"),
            label_visibility="collapsed",
            live=True,
            width=260,
            on_change=show_first_page,
        )
        status = st.segmented_control(
            _("Status"),
            list(_STATUSES),
            format_func=_status_name,
            key=Key.DOCUMENT_STATUS,
            required=True,
            label_visibility="collapsed",
            on_change=show_first_page,
        )
        order = st.selectbox(
            _("Order"),
            list(_ORDERS),
            format_func=_order_name,
            key=Key.DOCUMENT_ORDER,
            label_visibility="collapsed",
            width=190,
            on_change=show_first_page,
        )
    text, status = (text or "").strip(), status or next(iter(_STATUSES))
    keep_in_address(Query.FIND, text[:_LONGEST])
    keep_in_address(Query.STATUS, status if _STATUSES[status] else None)
    keep_in_address(Query.ORDER, order if order != next(iter(_ORDERS)) else None)
    by, descending = _ORDERS[order]
    return TableFilters(text, _STATUSES[status], by, descending)


def page_choice(pages: int) -> int:
    """Draw the choice among the table's pages, where there are several, and return the chosen one."""
    number = 1
    if pages > 1:
        number = st.pagination(
            pages,
            default=max(1, min(query_number(Query.PAGE) or 1, pages)),
            key=f"{Key.DOCUMENT_PAGE}-{pages}-{state_of(DocumentsState).pagers}",
        )
    keep_in_address(Query.PAGE, number if number > 1 else None)
    return number


def show_first_page() -> None:
    """Go back to the table's first page: it is to have other rows."""
    state_of(DocumentsState).pagers += 1
    set_query(Query.PAGE, None)


def collection_from_address() -> None:
    """Choose the collection that the address names, where somebody comes by it; else the last one stays chosen."""
    asked = query_number(Query.COLLECTION)
    if is_history_navigation() or (state_of(OpenPage).entered and asked is not None):
        state_of(DocumentsState).collection = asked


def filters_in_address() -> dict[str, str]:
    """Return the parameters of the address that say what the table shows, for links to documents."""
    return {name.value: query(name) for name in _KEPT if query(name)}


def keep_in_address(name: Query, value: str | int | None) -> None:
    """Set a parameter of the address unless it is the same: each change is a step of the browser's history."""
    if query(name) != ("" if value is None else str(value)):
        set_query(name, value)


def _follow_address() -> None:
    """Give widgets the values of the address where they are new, or where Back or Forward led to another address.

    Else they are what counts: a run may begin with an address from just before a change.
    """
    anew = is_history_navigation()
    status, order = query(Query.STATUS), query(Query.ORDER)
    for key, value in (
        (Key.DOCUMENT_SEARCH, query(Query.FIND)),
        (Key.DOCUMENT_STATUS, status if status in _STATUSES else next(iter(_STATUSES))),
        (Key.DOCUMENT_ORDER, order if order in _ORDERS else next(iter(_ORDERS))),
    ):
        if anew or key not in st.session_state:
            st.session_state[key] = value
    if anew:
        state_of(DocumentsState).pagers += 1


def _status_name(status: str) -> str:
    return {"all": _("All"), "ready": _("Ready"), "progress": _("In progress"), "failed": _("Failed")}[status]


def _order_name(order: str) -> str:
    return {
        "newest": _("Newest first"),
        "oldest": _("Oldest first"),
        "name": _("Name"),
        "largest": _("Largest first"),
        "chunks": _("Most chunks first"),
    }[order]
