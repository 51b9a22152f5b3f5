"""What every action has in common: may they, did it work, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.access import Actor
from services.errors import ForbiddenError, MillpondError
from services.reporting import EventKind, Reporter
from services.texts import _


class Acting:
    """Lets administrators act, and puts what became of it on the time line: refusals and failures too."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    @contextmanager
    def allowed(self, actor: Actor, action: str, kind: EventKind) -> Iterator[None]:
        """Do what is inside if `actor` may; `action` says in words what it is."""
        try:
            actor.require_admin(action)
        except ForbiddenError:
            if actor.refused is None:  # else whoever made the actor has been told
                self.tell(actor, EventKind.ACCESS, _("refused: {action}").format(action=action))
            raise
        try:
            yield
        except MillpondError as error:
            self.tell(actor, kind, _("{action} failed: {reason}").format(action=action, reason=error.message))
            raise

    def tell(self, actor: Actor, kind: EventKind, text: str, **figures: float) -> None:
        """Leave an event."""
        self._reporter.action(actor.name, kind, text, **figures)
