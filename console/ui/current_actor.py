"""The actor of the current tab: identity and role. Permissions are checked in the services."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

import streamlit as st

from console.ui import runtime_access
from console.ui.session_state import state_of
from console.ui.streamlit.internals import current_session_id
from services.app.container import Services
from services.core.access import WrongTokenError
from services.core.actor import Actor, Permission, Role
from services.core.i18n import _
from services.core.requests.registry import DEFAULT_USER


@dataclass
class AdminToken:
    """The administrator's token that was accepted in this tab, if any."""

    token: str = ""


def page_actor(services: Services | None = None) -> Actor:
    """Return the actor of this tab for `services`, by default the process's own."""
    return (services or runtime_access.ready_services()).access.actor(state_of(AdminToken).token)


def enter_admin_token(services: Services, token: str) -> None:
    """Give this tab the administrator's rights.

    Raises:
        WrongTokenError: the token is wrong; after several of them that takes a while.
    """
    try:
        services.access.sign_in(token, address=st.context.ip_address or "local")
    except WrongTokenError as error:
        threading.Event().wait(error.seconds)  # in this tab's own thread
        raise
    state_of(AdminToken).token = token


def leave_admin() -> None:
    """Return this tab to a visitor's rights."""
    state_of(AdminToken).token = ""


def is_admin(services: Services | None = None) -> bool:
    """Return whether this tab acts as an administrator."""
    return page_actor(services).role is Role.ADMIN


def disabled_reason(services: Services | None = None, permission: Permission = Permission.OPERATE) -> str | None:
    """Return why buttons that need a permission are disabled in this tab, as their tooltip; None where it has it."""
    if page_actor(services).may(permission):
        return None
    if permission is Permission.OPERATE:
        return _("Only an operator or an administrator can do this. Enter the token at the top of the page.")
    return _("Only an administrator can do this. Enter the token at the top of the page.")


def page_user() -> str:
    """Return the user name of the tab whose script runs, a digest of its secret session id."""
    session_id = current_session_id()
    if session_id is None:
        return DEFAULT_USER
    return f"tab {hashlib.blake2b(session_id.encode(), digest_size=4).hexdigest()}"
