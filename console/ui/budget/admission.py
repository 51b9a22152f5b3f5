"""Admission at present: open and closed gates with reasons, refusals, requests in progress; the banner of a refusal."""

from __future__ import annotations

import streamlit as st

from console.ui.budget.gauge import PERIOD_SECONDS
from console.ui.error_boundary import guarded
from console.ui.shared.formatting import count, escape, minutes, shorten, size
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import Remedy, remedy_links
from services.app.container import Services
from services.core.actor import person_name
from services.core.admission import Admission, Gate
from services.core.i18n import _
from services.core.requests.concurrency import RequestKind, RunningRequest

_BANNER_SECONDS = 3.0
_MOST_RUNNING = 8


@st.fragment
@guarded
def admission_view(services: Services) -> None:
    """Draw the gates and the requests in progress, and keep them up to date."""
    st.subheader(_("Admission"), anchor=False)
    closed = services.admission.closed()
    refused = services.admission.refusal_counts()
    for gate in Gate:
        closure = closed.get(gate)
        if closure is None:
            st.markdown(f":green[:material/check_circle:] {escape(gate_name(gate))}")
        else:
            why = f"{escape(closure.reason)} {escape(closure.hint)}"
            st.markdown(f":red[:material/block:] **{escape(gate_name(gate))}**: {why}")
    if services.admission.pause_seconds:
        slow = _("Ingestion pauses {seconds:g} s after each file").format(seconds=services.admission.pause_seconds)
        if person := services.admission.pause_wanted_by:
            slow += ", " + _("requested by {person}").format(person=person_name(person))
        st.markdown(f":orange[:material/speed:] {escape(slow)}")
    if total := sum(refused.values()):
        st.caption(
            escape(
                _("Refused since the start: {total}, {room} of them for lack of memory").format(
                    total=count(total), room=count(refused.get("room", 0))
                )
            )
        )
    free = services.admission.free_bytes()
    if free is not None:
        reserved = size(services.admission.reserved)
        st.caption(
            escape(
                _("Available for new work: {free}; reserved: {reserved}").format(
                    free=size(max(0, free)), reserved=reserved
                )
            )
        )
    _running(services)
    heartbeat("budget-doors", PERIOD_SECONDS)


def gate_name(gate: Gate) -> str:
    """Return the name of what a gate admits."""
    return {
        Gate.UPLOADS: _("New files"),
        Gate.LONG_QUESTIONS: _("Long questions"),
        Gate.QUESTIONS: _("Questions"),
    }[gate]


def _running(services: Services) -> None:
    running = services.requests.running()
    if not running:
        st.caption(_("No requests in progress."))
        return
    st.markdown(f"**{escape(_('In progress'))}**")
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
        RequestKind.DIAGNOSTIC: _("Diagnostic"),
    }
    words = kinds.get(each.kind, str(each.kind))
    if each.detail:
        words += f": {shorten(each.detail, 60)}"
    state = (
        _("queued, position {position}").format(position=each.position)
        if each.began is None
        else _("for {time}").format(time=minutes(max(0.0, now - each.began)))
    )
    return escape(f"{words} · {each.user} · {state}")


@st.fragment
@guarded
def refusal_banner(admission: Admission, *gates: Gate) -> None:
    """Show why the first closed one of `gates` refuses work, as long as it does; otherwise nothing."""
    closed = admission.closed()
    found = next(((gate, closed[gate]) for gate in gates if gate in closed), None)
    if found is not None:
        gate, why = found
        with st.container(key="refusal-banner", gap="xsmall"):
            st.warning(
                f"{escape(why.reason)} {escape(why.hint)}",
                title=_("{what} are refused at present").format(what=escape(gate_name(gate))),
                icon=":material/front_hand:",
            )
            remedy_links([Remedy.MEMORY])
    heartbeat("refusal", _BANNER_SECONDS)
