"""Every request runs in a scope: it takes a slot, has a time limit, can be cancelled, and cleans up after itself."""

from __future__ import annotations

from services.access import Actor
from services.scopes.types import Running
from services.texts import _


class Scopes:
    """All scopes of the process: who runs, who waits, and how to end one."""

    def running(self) -> list[Running]:
        """Return the scopes that run or wait, the oldest first."""
        return []

    def cancel(self, actor: Actor, scope_id: str) -> bool:
        """End a scope; return whether it was there."""
        actor.require_admin(_("Cancel a request"))
        return any(running.id == scope_id for running in self.running())
