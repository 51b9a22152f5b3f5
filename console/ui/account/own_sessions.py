"""One's own sessions on the page "My account"."""

from __future__ import annotations

from functools import partial

import streamlit as st

from console.ui.current_actor import page_actor, sign_out
from console.ui.session_state import notify
from console.ui.shared.dialogs import confirm
from console.ui.shared.session_rows import session_rows
from services.app.container import Services
from services.core.i18n import _, plural
from services.identity.types import Person, SessionInfo


def own_sessions_view(services: Services, person: Person) -> None:
    """Draw where one is signed in, this session marked."""
    actor = page_actor(services)
    sessions = services.identity.sessions.of_person(actor, person.id)
    session_rows(sessions, partial(_end, services, person), actor.session_id)
    if len(sessions) > 1 and st.button(_("End all others"), key="own-sessions-end"):
        confirm(
            _("End all your other sessions?"),
            [_("Their tabs go to the sign-in page; answers and uploads that run there end.")],
            _("End them"),
            partial(_end_others, services, person),
            undone_by=_("You can sign in there again."),
        )


def _end(services: Services, person: Person, session: SessionInfo) -> None:
    actor = page_actor(services)
    if session.id == actor.session_id:
        sign_out()
        return
    services.identity.sessions.end(actor, session.id, person.id)
    notify(_("The session ended."))
    st.rerun()


def _end_others(services: Services, person: Person) -> str:
    actor = page_actor(services)
    ended = services.identity.sessions.end_all(actor, person.id, but=actor.session_id)
    return plural("{count} session ended.", "{count} sessions ended.", ended)
