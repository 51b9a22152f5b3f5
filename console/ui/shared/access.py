"""Before the page itself, or in its place: progress or failure of the start, the form for the administrator's token,
that somebody has been signed out, or may not see a page."""

from __future__ import annotations

import streamlit as st

from console.ui.current_actor import enter_admin_token, is_admin, leave_admin
from console.ui.error_boundary import attempt
from console.ui.session_state import Key, notify
from console.ui.shared.formatting import escape
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.app.startup import Application
from services.core.i18n import _

_PERIOD_SECONDS = 0.5


def access_view(services: Services) -> None:
    """Draw the tab's rights and the token form where visitors are users only; otherwise nothing."""
    if not services.identity.open_mode or not services.access.sign_in_required:
        return
    with st.container(horizontal=True, horizontal_alignment="right", key="access"):
        if is_admin(services):
            st.button(
                _("Leave administrator mode"),
                key=Key.ACCESS_LEAVE,
                icon=":material/lock_open:",
                type="tertiary",
                help=_("Makes this tab read-only again."),
                on_click=leave_admin,
            )
            return
        label = _("Read-only: enter the administrator's token")
        with st.popover(label, icon=":material/lock:", type="tertiary", key="access-popover"):
            if not services.access.has_token:
                st.caption(_("No token is set, so nobody can change anything here: set admin_token and restart."))
                return
            with st.form("access-form", border=False):
                st.text_input(_("Token"), type="password", key=Key.ACCESS_TOKEN, max_chars=500)
                st.form_submit_button(
                    _("Enter"),
                    key=Key.ACCESS_ENTER,
                    type="primary",
                    icon=":material/key:",
                    on_click=_enter_token,
                    args=(services,),
                )
            st.caption(_("Valid for this tab until it is closed. Every attempt is recorded as an event."))


def _enter_token(services: Services) -> None:
    token = str(st.session_state.get(Key.ACCESS_TOKEN) or "").strip()
    st.session_state[Key.ACCESS_TOKEN] = ""  # not kept in the field

    def enter() -> bool:
        enter_admin_token(services, token)
        return True

    if attempt(enter):
        notify(_("This tab now has administrator rights."))


@st.fragment
def startup_view(application: Application) -> None:
    """Show the stage of the start, or its failure; the page follows automatically when the services are ready."""
    if application.ready:
        st.rerun()
    failure = application.failure
    if failure is not None:
        st.error(escape(failure.hint) or " ", title=escape(failure.message), icon=":material/error:")
        return
    st.markdown(f":shimmer[{escape(_('Millpond is starting: {stage} …').format(stage=application.stage))}]")
    st.skeleton(height=220)
    heartbeat("starting", _PERIOD_SECONDS)


def signed_out_view() -> None:
    """Say that the session has ended; the browser is on its way to the sign-in page by then."""
    st.info(_("Reload the page to sign in again."), title=_("Your session has ended."), icon=":material/logout:")


def closed_page_view() -> None:
    """Say that one may not see this page."""
    st.error(
        _("Ask an administrator for another role, or choose another page."),
        title=_("Your role may not see this page."),
        icon=":material/lock:",
    )
