"""Sessions and API tokens of a person as rows with a button each: on "My account", and on "People"."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.shared.dialogs import confirm
from console.ui.shared.formatting import ago, escape, local_time, shorten
from services.app.container import Services
from services.core.i18n import _
from services.identity.types import SessionInfo, SignInWay, TokenInfo


def session_rows(sessions: Sequence[SessionInfo], end: Callable[[SessionInfo], None], this: str = "") -> None:
    """Draw sessions; `end` is called for the one whose button was pressed, `this` is the id of the visitor's own."""
    for session in sessions:
        own = session.id == this
        place = session.address or _("unknown place")
        way = _("identity provider") if session.way is SignInWay.OIDC else _("password")
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            device = escape(shorten(session.device or _("unknown device"), 60))
            mark = f" :blue-badge[{escape(_('this session'))}]" if own else ""
            seen = _("{place}, by {way}; last seen {ago}, since {since}").format(
                place=place, way=way, ago=since(session.last_seen), since=moment(session.created_at)
            )
            st.markdown(f"**{device}**{mark}  \n:small[:gray[{escape(seen)}]]", width="stretch")
            if st.button(
                _("Sign out") if own else _("End"), key=f"session-end-{session.id}", type="tertiary", width="content"
            ):
                end(session)


def token_rows(services: Services, tokens: Sequence[TokenInfo]) -> None:
    """Draw API tokens; those that are valid can be revoked."""
    now = time.time()
    for token in tokens:
        over = token.revoked_at is not None or (token.expires is not None and token.expires <= now)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            name = escape(shorten(token.name, 60))
            scopes = " ".join(f":gray-badge[{escape(scope)}]" for scope in token.scopes)
            st.markdown(
                f"**{name}** `…{token.last_four}` {scopes}  \n:small[:gray[{escape(_token_state(token, now))}]]",
                width="stretch",
            )
            if not over and st.button(_("Revoke"), key=f"token-revoke-{token.id}", type="tertiary", width="content"):
                confirm(
                    _("Revoke the token {name}?").format(name=shorten(token.name, 60)),
                    [_("Programs that use it are refused from now on.")],
                    _("Revoke"),
                    partial(_revoke, services, token),
                )


def _revoke(services: Services, token: TokenInfo) -> str:
    services.identity.tokens.revoke(page_actor(services), token.id, token.person_id)
    return _("The token {name} was revoked.").format(name=shorten(token.name, 60))


def _token_state(token: TokenInfo, now: float) -> str:
    used = _("last used {ago}").format(ago=since(token.last_used)) if token.last_used else _("never used")
    if token.revoked_at is not None:
        return _("revoked {time}; {used}").format(time=moment(token.revoked_at), used=used)
    if token.expires is None:
        return _("valid until it is revoked; {used}").format(used=used)
    if token.expires <= now:
        return _("ended {time}; {used}").format(time=moment(token.expires), used=used)
    return _("valid until {time}; {used}").format(time=moment(token.expires), used=used)


def since(then: float) -> str:
    """Return how long ago a time (seconds since the epoch) was."""
    return ago(datetime.fromtimestamp(then, UTC))


def moment(then: float) -> str:
    """Return a time (seconds since the epoch) with its day, where the browser is."""
    return f"{local_time(then):%Y-%m-%d %H:%M}"
