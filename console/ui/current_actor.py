"""Who looks at a page: what they may do is checked in the services, this only says who they are.

Whose request this is: without a sign-in, a tab of a browser.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from console.ui import runtime_access
from console.ui.session_state import state_of
from services.app.container import Runtime
from services.core.access import Actor, Role
from services.core.i18n import _
from services.core.requests.registry import NOBODY


@dataclass
class AdminToken:
    """The token that this tab has given, if any; only one that was accepted."""

    token: str = ""


def page_actor(runtime: Runtime | None = None) -> Actor:
    """Return who uses this tab of `runtime`, by default the process's own."""
    return (runtime or runtime_access.runtime()).gate.actor(state_of(AdminToken).token)


def enter_admin_token(runtime: Runtime, token: str) -> None:
    """Make this tab the administrator's.

    Raises:
        ForbiddenError: it is the wrong token.
        BusyError: too many wrong ones were given.
    """
    runtime.gate.enter(token, place=st.context.ip_address or "local")
    state_of(AdminToken).token = token


def leave_admin() -> None:
    """Make this tab a visitor's again."""
    state_of(AdminToken).token = ""


def is_admin(runtime: Runtime | None = None) -> bool:
    """Return whether buttons that act are of any use in this tab."""
    return page_actor(runtime).role is Role.ADMIN


def disabled_reason(runtime: Runtime | None = None) -> str | None:
    """Return why buttons that act are disabled here, None where they are not: for their tooltip."""
    return None if is_admin(runtime) else _("Only an administrator may do that. Give the token at the top of the page.")


def page_user() -> str:
    """Return the name of the tab whose script runs; the session's id itself stays secret."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return NOBODY
    return f"tab {hashlib.blake2b(context.session_id.encode(), digest_size=4).hexdigest()}"
