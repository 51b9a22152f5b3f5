"""Who looks at a page: what they may do is checked in the services, this only says who they are."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from console import resources
from console.state import state_of
from services.access import Actor, Role
from services.runtime import Runtime
from services.texts import _


@dataclass
class Access:
    """The token that this tab has given, if any; only one that was accepted."""

    token: str = ""


def page_actor(runtime: Runtime | None = None) -> Actor:
    """Return who uses this tab of `runtime`, by default the process's own."""
    return (runtime or resources.runtime()).gate.actor(state_of(Access).token)


def give_token(runtime: Runtime, token: str) -> None:
    """Make this tab the administrator's.

    Raises:
        ForbiddenError: it is the wrong token.
        BusyError: too many wrong ones were given.
    """
    runtime.gate.enter(token, place=st.context.ip_address or "local")
    state_of(Access).token = token


def take_token_back() -> None:
    """Make this tab a visitor's again."""
    state_of(Access).token = ""


def may_act(runtime: Runtime | None = None) -> bool:
    """Return whether buttons that act are of any use in this tab."""
    return page_actor(runtime).role is Role.ADMIN


def reason(runtime: Runtime | None = None) -> str | None:
    """Return why buttons that act are disabled here, None where they are not: for their tooltip."""
    return None if may_act(runtime) else _("Only an administrator may do that. Give the token at the top of the page.")
