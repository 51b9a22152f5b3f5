"""The actor of the current tab: identity and role. Permissions are checked in the services."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from console.ui import runtime_access
from console.ui.session_state import state_of
from console.ui.streamlit.internals import current_session_id
from console.ui.streamlit.tab_owner import tab_session
from services.app.container import Platform, Services
from services.core.access import WrongTokenError
from services.core.actor import Actor, Permission, Role
from services.core.auditing import Origin, Way, coming_from
from services.core.errors import UnauthorizedError
from services.core.i18n import _
from services.core.requests.registry import DEFAULT_USER, acting_for

_THIS_MACHINE = "127.0.0.1"  # Streamlit has no address for a browser on the same machine


@dataclass
class AdminToken:
    """The administrator's token that was accepted in this tab, if any."""

    token: str = ""


def page_actor(services: Services | None = None) -> Actor:
    """Return the actor of this tab, with the rights of this moment, for `services`, by default the process's own.

    Raises:
        UnauthorizedError: the session has ended.
    """
    return _actor_in(services or runtime_access.ready_services())


def _actor_in(platform: Platform) -> Actor:
    if platform.identity.open_mode:
        return platform.access.actor(state_of(AdminToken).token)
    return _signed_in(platform)


def visitor_of(services: Services) -> Actor | None:
    """Return who visits a page now, None if their session has ended; for a whole run of the page."""
    if services.identity.open_mode:
        return page_actor(services)
    return services.identity.by_session_id(tab_session(), used=True)


def _signed_in(platform: Platform) -> Actor:
    actor = platform.identity.by_session_id(tab_session())
    if actor is None:
        raise UnauthorizedError(_("Your session has ended."), _("Reload the page to sign in again."))
    return actor


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


def sign_out() -> None:
    """End the session of the person whose tab this is; the browser then goes to the sign-in page by itself."""
    runtime_access.ready_services().identity.sign_out(tab_session())


def role_word(role: Role) -> str:
    """Return what a role is called."""
    return {
        Role.USER: _("user"),
        Role.OPERATOR: _("operator"),
        Role.AUDITOR: _("auditor"),
        Role.ADMIN: _("administrator"),
    }[role]


def is_admin(services: Services | None = None) -> bool:
    """Return whether this tab acts as an administrator."""
    return page_actor(services).role is Role.ADMIN


def disabled_reason(services: Services | None = None, permission: Permission = Permission.OPERATE) -> str | None:
    """Return why buttons that need a permission are disabled in this tab, as their tooltip; None where it has it."""
    if page_actor(services).may(permission):
        return None
    if not (services or runtime_access.ready_services()).identity.open_mode:
        return _("Your role may not do this.")
    if permission is Permission.OPERATE:
        return _("Only an operator or an administrator can do this. Enter the token at the top of the page.")
    return _("Only an administrator can do this. Enter the token at the top of the page.")


def page_user() -> str:
    """Return the user of the tab whose script runs: the person's name, without accounts a digest of its session id.

    Raises:
        UnauthorizedError: the person's session has ended.
    """
    platform = runtime_access.existing_platform()
    if platform is not None and not platform.identity.open_mode:
        return _signed_in(platform).name
    session_id = current_session_id()
    if session_id is None:
        return DEFAULT_USER
    return f"tab {hashlib.blake2b(session_id.encode(), digest_size=4).hexdigest()}"


@contextmanager
def acting_as_page() -> Iterator[None]:
    """Attribute requests opened inside, and what is done there, to the tab whose script runs."""
    platform = runtime_access.existing_platform()
    origin = Origin(
        Way.PAGE,
        st.context.ip_address or _THIS_MACHINE,
        actor=None if platform is None else _actor_in(platform),
    )
    with acting_for(page_user(), tab_session()), coming_from(origin):
        yield
