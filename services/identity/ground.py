"""What the parts of identity share: the stores, the snapshot in memory, the audit, and who hears of what ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.core.actor import Actor, Permission
from services.core.auditing import AuditSink
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.identity.change_lock import ChangeLock
from services.identity.directory import Directory
from services.identity.passwords import PasswordHasher
from services.identity.revocations import Revocations
from services.identity.store.grants import GrantStore
from services.identity.store.people import PeopleStore
from services.identity.types import Person


@dataclass(frozen=True, slots=True)
class IdentityGround:
    """The shared ground. `changing` is held while accounts, groups and grants change; `now`: seconds since 1970."""

    people: PeopleStore
    grants: GrantStore
    directory: Directory
    hasher: PasswordHasher
    audit: AuditSink
    revocations: Revocations
    now: Callable[[], float]
    changing: ChangeLock

    def person(self, person_id: int) -> Person:
        """Return a person.

        Raises:
            NotFoundError: there is none of that id.
        """
        found = self.people.get(person_id)
        if found is None:
            raise person_not_found()
        return found


def require_own(actor: Actor, person_id: int, action: str) -> None:
    """Return if this is the actor's own account, or the actor manages people.

    An API token manages no account, not even its owner's, unless its scopes and role allow to manage people.

    Raises:
        ForbiddenError: it is neither.
    """
    if actor.person_id == person_id and actor.scopes is None:
        return
    actor.require(Permission.PEOPLE, action)


def person_not_found() -> NotFoundError:
    """Return the error for a person who does not exist."""
    return NotFoundError(_("There is no such person."), _("Choose one of the list of people."))
