"""The event or moment that the address of the page "Memory" names: a step of the verdict links to its cause."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.charts.annotations import event_kind_name
from console.ui.charts.event_links import event_place
from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.session_state import Key, MemoryState, Query, query, query_number, set_query, state_of
from console.ui.shared.formatting import escape, size, time_of_day
from services.app.container import Services
from services.core.i18n import _
from services.core.time_ranges import PACING, Range
from services.memory.leaks.wording import change_text
from services.memory.types import Series, Window
from services.operations.event_log import Event

# RSS before and after it is read this far from it, in seconds.
_AROUND_SECONDS = 60.0
_MARGIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Marked:
    """A moment in seconds since the epoch, and the event then, None where it is a moment alone."""

    time: float
    event: Event | None = None


def _named() -> str:
    """Return the event or moment in the address, "" without one."""
    return query(Query.EVENT) or query(Query.MOMENT)


def marked(services: Services) -> Marked | None:
    """Return what the address names, None without anything that is known."""
    number = query_number(Query.EVENT)
    if number is not None:
        event = services.events.find(number)
        return None if event is None else Marked(event.time, event)
    moment = query_number(Query.MOMENT)
    return None if moment is None else Marked(float(moment))


def fitting_range(services: Services, time: float) -> Range:
    """Return the shortest range back from now that shows a moment."""
    age = services.memory.clock.time() - time + _MARGIN_SECONDS
    return next((choice for choice in Range if PACING[choice].seconds >= age), Range.FORTNIGHT)


def follow_address(services: Services) -> None:
    """Choose a range that shows what the address names, once for each address; before the range is drawn."""
    named = _named()
    state = state_of(MemoryState)
    if named == state.marked:
        return
    state.marked, state.closed = named, ""
    for name in (Query.EVENT, Query.MOMENT):
        if value := query(name):
            set_query(name, value)  # a link within the page leaves the address bar as it was
    found = marked(services)
    if found is not None and not query(Query.RANGE):
        st.session_state[Key.MEMORY_RANGE] = fitting_range(services, found.time)


@st.fragment
@guarded
def marked_view(services: Services) -> None:
    """Draw what the address names: the event with its figures, and RSS around it."""
    named = _named()
    if not named or named == state_of(MemoryState).closed:
        st.empty()  # in its place: what is only not drawn stays on the page when a tick begins in the same moment
        return
    found = marked(services)
    with st.container(
        border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="marked"
    ):
        if found is None:
            st.markdown(_("This event is no longer kept."), width="stretch")
        else:
            st.markdown(_words(services, found), width="stretch")
            if found.event is not None:
                _place_link(services, found.event)
        st.button(_("Close"), key="marked-close", icon=":material/close:", type="tertiary", on_click=_close)


def _place_link(services: Services, event: Event) -> None:
    """Draw a link to the page of what the event happened to, where it has one and one may open it."""
    name, parameters = event_place(event)
    if name is not PageName.MEMORY and may_open(page_actor(services), name):
        st.page_link(page(name), icon=":material/arrow_forward:", query_params=parameters)


def _close() -> None:
    # A tick that the browser had sent before it knew brings the old address back with it.
    state = state_of(MemoryState)
    state.closed, state.marked = _named(), ""
    set_query(Query.EVENT, None)
    set_query(Query.MOMENT, None)


def _words(services: Services, found: Marked) -> str:
    when = time_of_day(found.time)
    if found.event is None:
        what = _("{moment}: no event explains this step").format(moment=when)
    else:
        detail = f": {escape(found.event.detail)}" if found.event.detail else ""
        kind = event_kind_name(found.event.kind)
        what = _("{moment}, event {id}, {kind}").format(moment=when, id=found.event.id, kind=kind) + detail
    window = services.memory.history.window(
        found.time - 2 * _AROUND_SECONDS, found.time + 2 * _AROUND_SECONDS, columns=(Series.RSS,), points=240
    )
    before, after = _near(window, found.time - _AROUND_SECONDS), _near(window, found.time + _AROUND_SECONDS)
    if before is None or after is None:
        return f"**{what}**"
    around = _("RSS {before} a minute before, {after} a minute after ({change})").format(
        before=escape(size(before)), after=escape(size(after)), change=escape(change_text(after - before))
    )
    return f"**{what}** · {around}"


def _near(window: Window, time: float) -> float | None:
    """Return RSS at a time, None where nothing was measured near it."""
    values = window.means[Series.RSS]
    known = [
        (abs(at - time), value)
        for at, value in zip(window.times.tolist(), values.tolist(), strict=True)
        if value == value and abs(at - time) <= _AROUND_SECONDS  # noqa: PLR0124 - NaN is not itself
    ]
    return min(known)[1] if known else None
