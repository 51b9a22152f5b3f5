"""What is taken in at present: closed doors with their reasons, what was refused, what is under way."""

from __future__ import annotations

import streamlit as st

from console.boundary import guarded
from console.components.budget_head import PERIOD_SECONDS
from console.components.formatting import count, escape, minutes, shorten, size
from console.components.heartbeat import heartbeat
from services.admission import Door
from services.runtime import Runtime
from services.scopes.types import Running, ScopeKind
from services.texts import _

_MOST_RUNNING = 8


@st.fragment
@guarded
def doors_view(runtime: Runtime) -> None:
    """Draw the doors and what is under way, and keep that fresh."""
    st.subheader(_("Taken in at present"), anchor=False)
    closed = runtime.admission.closed()
    refused = runtime.admission.refused()
    for door in Door:
        shut = closed.get(door)
        if shut is None:
            st.markdown(f":green[:material/door_open:] {escape(door_name(door))}")
        else:
            st.markdown(
                f":red[:material/block:] **{escape(door_name(door))}**: {escape(shut.reason)} {escape(shut.hint)}"
            )
    if runtime.admission.pause_seconds:
        slow = _("Files being taken in rest {seconds:g} s after each").format(seconds=runtime.admission.pause_seconds)
        st.markdown(f":orange[:material/speed:] {escape(slow)}")
    if total := sum(refused.values()):
        st.caption(
            escape(
                _("Refused since the start: {total}, {room} of them because there was no room").format(
                    total=count(total), room=count(refused.get("room", 0))
                )
            )
        )
    free = runtime.admission.free()
    if free is not None:
        promised = size(runtime.admission.reserved)
        st.caption(
            escape(
                _("Room for new work: {free}; promised: {promised}").format(free=size(max(0, free)), promised=promised)
            )
        )
    _running(runtime)
    heartbeat("budget-doors", PERIOD_SECONDS)


def door_name(door: Door) -> str:
    """Return what goes through a door."""
    return {
        Door.UPLOADS: _("New files"),
        Door.LONG_QUESTIONS: _("Long questions"),
        Door.QUESTIONS: _("Questions"),
    }[door]


def _running(runtime: Runtime) -> None:
    running = runtime.scopes.running()
    if not running:
        st.caption(_("No request is under way."))
        return
    st.markdown(f"**{escape(_('Under way'))}**")
    now = runtime.clock.time()
    for each in running[:_MOST_RUNNING]:
        st.caption(_line(each, now))
    if len(running) > _MOST_RUNNING:
        st.caption(escape(_("and {count} more").format(count=count(len(running) - _MOST_RUNNING))))


def _line(each: Running, now: float) -> str:
    kinds = {
        ScopeKind.ANSWER: _("Answer"),
        ScopeKind.SEARCH: _("Search"),
        ScopeKind.UPLOAD: _("Upload"),
        ScopeKind.LOOK: _("Look"),
    }
    words = kinds.get(each.kind, str(each.kind))
    if each.detail:
        words += f": {shorten(each.detail, 60)}"
    state = (
        _("waits, place {place}").format(place=each.position)
        if each.began is None
        else _("for {time}").format(time=minutes(max(0.0, now - each.began)))
    )
    return escape(f"{words} · {each.user} · {state}")
