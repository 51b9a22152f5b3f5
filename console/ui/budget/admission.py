"""Admission at present: open and closed gates with reasons, refusals, requests in progress; the banner of a refusal."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.budget.gauge import PERIOD_SECONDS
from console.ui.error_boundary import guarded
from console.ui.shared.formatting import count, escape, minutes, shorten, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.admission import Admission, Gate
from services.core.i18n import _
from services.core.requests.types import RequestKind, RunningRequest

_BANNER_SECONDS = 3.0
_MOST_RUNNING = 8


@st.fragment
@guarded
def admission_view(services: Services) -> None:
    """Draw the doors and what is under way, and keep that fresh."""
    st.subheader(_("Taken in at present"), anchor=False)
    closed = services.admission.closed()
    refused = services.admission.refusal_counts()
    for door in Gate:
        shut = closed.get(door)
        if shut is None:
            st.markdown(f":green[:material/door_open:] {escape(gate_name(door))}")
        else:
            st.markdown(
                f":red[:material/block:] **{escape(gate_name(door))}**: {escape(shut.reason)} {escape(shut.hint)}"
            )
    if services.admission.pause_seconds:
        slow = _("Files being taken in rest {seconds:g} s after each").format(seconds=services.admission.pause_seconds)
        st.markdown(f":orange[:material/speed:] {escape(slow)}")
    if total := sum(refused.values()):
        st.caption(
            escape(
                _("Refused since the start: {total}, {room} of them because there was no room").format(
                    total=count(total), room=count(refused.get("room", 0))
                )
            )
        )
    free = services.admission.free_bytes()
    if free is not None:
        promised = size(services.admission.reserved)
        st.caption(
            escape(
                _("Room for new work: {free}; promised: {promised}").format(free=size(max(0, free)), promised=promised)
            )
        )
    _running(services)
    heartbeat("budget-doors", PERIOD_SECONDS)


def gate_name(door: Gate) -> str:
    """Return what goes through a door."""
    return {
        Gate.UPLOADS: _("New files"),
        Gate.LONG_QUESTIONS: _("Long questions"),
        Gate.QUESTIONS: _("Questions"),
    }[door]


def _running(services: Services) -> None:
    running = services.requests.running()
    if not running:
        st.caption(_("No request is under way."))
        return
    st.markdown(f"**{escape(_('Under way'))}**")
    now = services.clock.time()
    for each in running[:_MOST_RUNNING]:
        st.caption(_line(each, now))
    if len(running) > _MOST_RUNNING:
        st.caption(escape(_("and {count} more").format(count=count(len(running) - _MOST_RUNNING))))


def _line(each: RunningRequest, now: float) -> str:
    kinds = {
        RequestKind.ANSWER: _("Answer"),
        RequestKind.SEARCH: _("Search"),
        RequestKind.UPLOAD: _("Upload"),
        RequestKind.DIAGNOSTIC: _("Look"),
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


@st.fragment
@guarded
def refusal_banner(admission: Admission, *doors: Gate) -> None:
    """Say why something is refused at present, as long as it is; nothing otherwise. The first of `doors` counts."""
    closed = admission.closed()
    found = next(((door, closed[door]) for door in doors if door in closed), None)
    if found is not None:
        door, why = found
        with st.container(key="refusal-banner", gap="xsmall"):
            st.warning(
                f"{escape(why.reason)} {escape(why.hint)}",
                title=_("{what} are refused at present").format(what=escape(gate_name(door))),
                icon=":material/front_hand:",
            )
            st.page_link(page(PageName.BUDGET), label=_("What the memory budget did"), icon=":material/speed:")
    heartbeat("refusal", _BANNER_SECONDS)
