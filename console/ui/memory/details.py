"""Tables below the charts: events; requests with memory before and after, or collections with pauses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import streamlit as st

from console.ui.charts.annotations import event_kind_name
from console.ui.error_boundary import guarded
from console.ui.memory.event_figures import figures_text
from console.ui.memory.sections import MemorySection
from console.ui.session_state import Key, Query, query_number
from console.ui.shared.formatting import count, local_time, plain, size_unit
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.events import EventKind
from services.core.i18n import _
from services.core.time_ranges import PACING, Range
from services.operations.event_log import Event

_PERIOD_SECONDS = 5.0
_MOST_ROWS = 200


class Detail(StrEnum):
    """The tables below the events, one at a time."""

    REQUESTS = "requests"
    COLLECTIONS = "collections"


@st.fragment
@guarded
def details_view(services: Services, choice: Range) -> None:
    """Draw the events and the chosen table, and keep them up to date."""
    st.subheader(_("Events"), anchor=MemorySection.EVENTS)
    _events(services, choice)
    names = {
        Detail.REQUESTS: _("Requests"),
        Detail.COLLECTIONS: _("Collections"),
    }
    st.subheader(_("Requests and collections"), anchor=MemorySection.REQUESTS)
    shown = st.segmented_control(
        _("Details"),
        list(Detail),
        key="memory-detail",
        default=Detail.REQUESTS,
        required=True,
        format_func=lambda detail: names[detail],
        label_visibility="collapsed",
    )
    tables: dict[Detail, Callable[[Services], None]] = {
        Detail.REQUESTS: _requests,
        Detail.COLLECTIONS: _collections,
    }
    tables[Detail(shown or Detail.REQUESTS)](services)
    heartbeat("memory-details", 0.0 if st.session_state.get(Key.MEMORY_PAUSE) else _PERIOD_SECONDS)


def _events(services: Services, choice: Range) -> None:
    kinds = st.multiselect(
        _("Kinds"),
        list(EventKind),
        key=Key.MEMORY_EVENTS,
        format_func=event_kind_name,
        placeholder=_("All kinds"),
        label_visibility="collapsed",
        width=420,
    )
    found = _between(services, choice, kinds)
    if not found:
        st.caption(_("No events of these kinds in this range.") if kinds else _("No events in this range."))
        return
    draw_events(found, query_number(Query.EVENT))


def draw_events(found: Sequence[Event], number: int | None = None) -> None:
    """Draw events as a table, the newest first, with a mark at the one of that number."""
    rows: dict[str, list[Any]] = {
        "time": [local_time(event.time) for event in reversed(found)],
        "id": [f"▶ {event.id}" if event.id == number else str(event.id) for event in reversed(found)],
        "kind": [event_kind_name(event.kind) for event in reversed(found)],
        "detail": [plain(event.detail) for event in reversed(found)],
        "figures": [figures_text(event) for event in reversed(found)],
        "actor": [plain(event.actor) for event in reversed(found)],
    }
    column = st.column_config
    _table(
        rows,
        _("Events"),
        {
            "time": _time_column(),
            "id": column.TextColumn(_("Number"), width=80, help=_("The address of one: /memory?event=number")),
            "kind": column.TextColumn(_("Kind"), width=120),
            "detail": column.TextColumn(_("What"), width=360),
            "figures": column.TextColumn(_("Figures"), width=300),
            "actor": column.TextColumn(_("By"), width=100),
        },
    )


def _between(services: Services, choice: Range, kinds: Sequence[EventKind] = ()) -> list[Event]:
    now = services.memory.clock.time()
    return services.events.between(now - PACING[choice].seconds, now, _MOST_ROWS, kinds or None)


def _requests(services: Services) -> None:
    found = services.request_log.latest(_MOST_ROWS)
    if not found:
        st.caption(_("No requests since the start."))
        return
    st.caption(
        _("{count} since the start. A change belongs to the request alone only if no other one overlapped it.").format(
            count=count(services.request_log.total)
        )
    )
    before, after = [request.rss_before for request in found], [request.rss_after for request in found]
    changes = [_change(request.rss_before, request.rss_after) for request in found]
    heap = [_change(request.heap_before, request.heap_after) for request in found]
    whole, part = size_unit(before, after), size_unit(changes, heap)
    rows: dict[str, list[Any]] = {
        "time": [local_time(request.time) for request in found],
        "what": [plain(f"{request.method} {request.route}") for request in found],
        "status": [request.status or None for request in found],
        "ms": [request.seconds * 1000 for request in found],
        "before": whole.column(before),
        "after": whole.column(after),
        "change": part.column(changes),
        "heap": part.column(heap),
        "alone": [request.alone for request in found],
    }
    column = st.column_config
    number = column.NumberColumn
    _table(
        rows,
        _("Requests"),
        {
            "time": _time_column(),
            "what": column.TextColumn(_("Request"), width=260),
            "status": number(_("Status"), format="%d", width=62),
            "ms": number(_("ms"), format="%.0f", width=70),
            "before": number(_("RSS before, {unit}").format(unit=whole.name), format=whole.number, width=110),
            "after": number(_("RSS after, {unit}").format(unit=whole.name), format=whole.number, width=104),
            "change": number(_("RSS change, {unit}").format(unit=part.name), format=part.change, width=112),
            "heap": number(_("Heap change, {unit}").format(unit=part.name), format=part.change, width=118)
            if any(heap)
            else None,
            "alone": column.CheckboxColumn(_("Alone"), width=60),
        },
    )


def _change(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _collections(services: Services) -> None:
    found = services.memory.pauses.recent(_MOST_ROWS)[::-1]
    if not found:
        st.caption(_("No collection yet."))
        return
    st.caption(_("A collection pauses all threads; those of older generations examine more objects."))
    column = st.column_config
    _table(
        {
            "time": [local_time(pause.time) for pause in found],
            "generation": [f"gen{pause.generation}" for pause in found],
            "ms": [1000 * pause.seconds for pause in found],
            "collected": [pause.collected for pause in found],
            "uncollectable": [pause.uncollectable for pause in found],
        },
        _("Collections"),
        {
            "time": _time_column(),
            "generation": column.TextColumn(_("Generation"), width=90),
            "ms": column.NumberColumn(_("Pause, ms"), format="%.2f", width=90),
            "collected": column.NumberColumn(_("Objects freed"), format="localized", width=110),
            "uncollectable": column.NumberColumn(_("Uncollectable"), format="localized", width=130),
        },
    )


def _table(rows: dict[str, list[Any]], alt: str, columns: dict[str, Any]) -> None:
    import pandas as pd

    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        alt=alt,
        height="content" if len(next(iter(rows.values()))) <= 14 else 520,
        column_config=columns,
    )


def _time_column() -> Any:
    return st.column_config.DatetimeColumn(_("When"), format="YYYY-MM-DD HH:mm:ss", width=150)
