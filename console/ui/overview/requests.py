"""Running and queued requests with their users and a cancel button, and recently finished ones."""

from __future__ import annotations

import time

import streamlit as st

from console.ui.current_actor import page_actor, page_user
from console.ui.error_boundary import attempt, guarded, rerun_for_notices
from console.ui.session_state import notify
from console.ui.shared.formatting import count, escape, milliseconds, plain, signed_size, size
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.core.access import Role
from services.core.i18n import _, plural
from services.core.requests import FinishedRequest, Outcome, RequestKind, RunningRequest
from services.core.units import MEGABYTE
from services.memory.process import rss_bytes

_PERIOD_SECONDS = 2.0
_SHOWN = 20
_RECENT = 50


@st.fragment
@guarded
def requests_view(services: Services) -> None:
    """Draw the requests and keep them up to date."""
    rerun_for_notices()
    st.subheader(_("Requests"), anchor=False)
    running = services.requests.running()
    if not running:
        st.caption(_("No requests are running or queued."))
    actor, user, now = page_actor(services), page_user(), rss_bytes()
    for request in running[:_SHOWN]:
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"request-{request.id}"
        ):
            st.markdown(_line(request, now))
            if actor.role is Role.ADMIN or request.user == user:
                st.button(
                    _("Cancel"),
                    key=f"cancel-{request.id}",
                    icon=":material/cancel:",
                    type="tertiary",
                    disabled=request.cancelled,
                    on_click=_cancel,
                    args=(services, request.id),
                )
    if len(running) > _SHOWN:
        more = len(running) - _SHOWN
        st.caption(plural("{count} more request", "{count} more requests", more))
    _recent(services.requests.recent(_RECENT))
    heartbeat("requests", _PERIOD_SECONDS)


def request_kind_name(kind: RequestKind) -> str:
    """Return the name of a kind of request."""
    names = {
        RequestKind.ANSWER: _("Answer"),
        RequestKind.SEARCH: _("Search"),
        RequestKind.UPLOAD: _("Upload"),
        RequestKind.DIAGNOSTIC: _("Diagnostic"),
    }
    return names[kind]


def outcome_name(outcome: Outcome) -> str:
    """Return the name of an outcome."""
    names = {
        Outcome.DONE: _("done"),
        Outcome.CANCELLED: _("cancelled"),
        Outcome.TIMED_OUT: _("timed out"),
        Outcome.REFUSED: _("refused"),
        Outcome.FAILED: _("failed"),
        Outcome.DROPPED: _("abandoned"),
    }
    return names[outcome]


def _line(request: RunningRequest, rss: int) -> str:
    parts = [f"**{escape(request_kind_name(request.kind))}**", escape(request.user)]
    if request.detail:
        parts.append(escape(request.detail))
    if request.position:
        waited = max(0.0, time.time() - request.asked)
        parts.append(
            _("waiting: number {position} in the queue, for {time}").format(
                position=count(request.position), time=milliseconds(waited * 1000)
            )
        )
    elif request.began is not None:
        parts.append(_("for {time}").format(time=milliseconds(max(0.0, time.time() - request.began) * 1000)))
    if request.rss_before is not None:
        parts.append(
            _("RSS {before} at the start, {change} since").format(
                before=escape(size(request.rss_before)), change=escape(signed_size(rss - request.rss_before))
            )
        )
    if request.cancelled:
        parts.append(_("being cancelled"))
    return " · ".join(parts)


def _cancel(services: Services, request_id: str) -> None:
    if attempt(services.requests.cancel, page_actor(services), request_id):
        notify(_("The request is being cancelled."))


def _recent(finished: list[FinishedRequest]) -> None:
    if not finished:
        return
    import pandas as pd

    rows = [
        (
            request_kind_name(each.kind),
            plain(each.user),
            plain(each.detail),
            outcome_name(each.outcome),
            round(each.waited * 1000),
            round(each.seconds * 1000),
            each.rss_before / MEGABYTE,
            (each.rss_after - each.rss_before) / MEGABYTE,
        )
        for each in finished
    ]
    names = [
        _("Kind"),
        _("User"),
        _("Detail"),
        _("Outcome"),
        _("Waited, ms"),
        _("Took, ms"),
        _("RSS before, MB"),
        _("Change, MB"),
    ]
    with st.expander(_("Recently finished"), key="requests-recent"):
        st.dataframe(
            pd.DataFrame(rows, columns=names),
            hide_index=True,
            alt=_("Recently finished requests"),
            column_config={
                names[6]: st.column_config.NumberColumn(format="%.1f"),
                names[7]: st.column_config.NumberColumn(format="%+.1f", help=_("Of the whole process")),
            },
        )
