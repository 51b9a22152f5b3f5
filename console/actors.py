"""Who looks at a page: what they may do is checked in the services, this only says who they are."""

from __future__ import annotations

from dataclasses import dataclass

from console.state import state_of
from services.access import Actor, visitor
from services.runtime import Runtime


@dataclass
class Access:
    """The token that this tab has given, if any."""

    token: str = ""


def page_actor(runtime: Runtime) -> Actor:
    """Return who uses this tab."""
    return visitor(runtime.settings, state_of(Access).token)
