"""Where a click on an event leads: to the page of what it happened to, else to the event itself on the time line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.current_actor import page_actor
from console.ui.session_state import Query
from services.app.container import Services
from services.core.events import EventKind
from services.operations.event_log import Event

Place = tuple[PageName, dict[str, str]]
# Those that are not here have no page but their entry in the time line.
_PAGES: Mapping[EventKind, tuple[PageName, str]] = MappingProxyType(
    {
        EventKind.UPLOAD: (PageName.DOCUMENTS, ""),
        EventKind.INGESTION: (PageName.DOCUMENTS, ""),
        EventKind.DELETION: (PageName.DOCUMENTS, ""),
        EventKind.MODEL: (PageName.SETTINGS, ""),
        EventKind.BREAKER: (PageName.SETTINGS, ""),
        EventKind.SETTINGS: (PageName.SETTINGS, ""),
        EventKind.COLLECTION: (PageName.COLLECTOR, "pauses"),
        EventKind.POLICY: (PageName.COLLECTOR, "pauses"),
        EventKind.TRIM: (PageName.COLLECTOR, "reclaim"),
        EventKind.RELEASE: (PageName.COLLECTOR, "reclaim"),
        EventKind.EXPERIMENT: (PageName.COLLECTOR, "experiment"),
        EventKind.TRACING: (PageName.ALLOCATIONS, ""),
        EventKind.BUDGET: (PageName.BUDGET, ""),
        EventKind.RESTART: (PageName.BUDGET, ""),
        EventKind.ACCESS: (PageName.AUDIT, ""),
        EventKind.DAMAGE: (PageName.OVERVIEW, ""),
        EventKind.SNAPSHOT: (PageName.OVERVIEW, ""),
        EventKind.UPGRADE: (PageName.OVERVIEW, ""),
        EventKind.CERTIFICATE: (PageName.OVERVIEW, ""),
        EventKind.NODE: (PageName.NODES, ""),
    }
)


def event_place(event: Event) -> Place:
    """Return the page of what an event happened to, with the parameters of its address."""
    name, view = _PAGES.get(event.kind, (PageName.MEMORY, ""))
    if name is PageName.MEMORY:
        return PageName.MEMORY, {Query.EVENT.value: str(event.id)}
    if event.kind is EventKind.UPLOAD and "count" not in event.figures:
        return name, {Query.FIND.value: event.detail}  # one document: its name
    return name, {Query.VIEW.value: view} if view else {}


def open_event(services: Services, chosen: object) -> None:
    """Go where the event with the id `chosen` leads, as far as one may; nothing where it is not kept."""
    event = services.events.find(chosen) if isinstance(chosen, int) else None
    if event is None:
        return
    name, query = event_place(event)
    if not may_open(page_actor(services), name):
        name, query = PageName.MEMORY, {Query.EVENT.value: str(event.id)}
    st.switch_page(page(name), query_params=query)


def open_moment(time: object) -> None:
    """Go to a moment, in seconds since the epoch, on the page "Memory"."""
    if isinstance(time, int):
        st.switch_page(page(PageName.MEMORY), query_params={Query.MOMENT.value: str(time)})
