"""Who acts, and what they may do: roles, permissions, and levels of access to collections.

Rights are checked in the services, which get an `Actor`; buttons and routes only show or repeat what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from services.core.errors import ForbiddenError, NotFoundError
from services.core.i18n import _


class Permission(StrEnum):
    """What somebody may do. For documents, rights on their collection are needed as well."""

    READ = "read"  # search and read documents
    ASK = "ask"  # ask questions, keep conversations
    WRITE = "write"  # upload, change and delete documents; make collections
    OPERATE = "operate"  # see and steer memory, requests and restarts
    AUDIT = "audit"  # read the audit log
    CONFIGURE = "configure"  # chat model, how the chat retrieves
    PEOPLE = "people"  # accounts, groups, and everybody's rights on collections


class Role(StrEnum):
    """What a person is to the service; each has the permissions of `PERMISSIONS`."""

    USER = "user"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


_EVERYDAY = frozenset({Permission.READ, Permission.ASK, Permission.WRITE})
PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.USER: _EVERYDAY,
        Role.OPERATOR: _EVERYDAY | {Permission.OPERATE},
        Role.AUDITOR: _EVERYDAY | {Permission.AUDIT},
        Role.ADMIN: frozenset(Permission),
    }
)


class AccessLevel(IntEnum):
    """What somebody may do in a collection; a higher level includes the lower ones."""

    NONE = 0
    READ = 1
    WRITE = 2  # add, change and delete documents
    MANAGE = 3  # rename, delete and share the collection


@dataclass(frozen=True, slots=True)
class CollectionRights:
    """Levels of access by collection id; `everywhere` holds for all others, those to come included."""

    levels: Mapping[int, AccessLevel] = field(default_factory=lambda: MappingProxyType({}))
    everywhere: AccessLevel = AccessLevel.NONE

    def level(self, collection_id: int) -> AccessLevel:
        """Return the level in a collection, existing or not."""
        return max(self.everywhere, self.levels.get(collection_id, AccessLevel.NONE))

    def ids(self, level: AccessLevel = AccessLevel.READ) -> frozenset[int] | None:
        """Return the collections in which that level is reached, None for all there are."""
        if self.everywhere >= level:
            return None
        return frozenset(number for number, reached in self.levels.items() if reached >= level)


EVERYWHERE = CollectionRights(everywhere=AccessLevel.MANAGE)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks for something; made anew for each request, so that a change of rights counts at once.

    Attributes:
        name: appears in events and the audit log.
        role: what the person is.
        on_refusal: called with an action that was refused.
        person_id: the account, None where there is none: somebody at this machine while there are no accounts, the
            administrator's token, the service itself.
        scopes: what an API token is limited to, None without a limit.
        rights: what may be done in which collection.
        session_id: the session or API token that this comes by, "" for none.
    """

    name: str
    role: Role
    on_refusal: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    person_id: int | None = None
    scopes: frozenset[Permission] | None = None
    rights: CollectionRights = EVERYWHERE
    session_id: str = field(default="", repr=False)

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the role allows, within the limits of the token."""
        allowed = PERMISSIONS[self.role]
        return allowed if self.scopes is None else allowed & self.scopes

    def may(self, permission: Permission) -> bool:
        """Return whether this is permitted."""
        return permission in self.permissions

    def require(self, permission: Permission, action: str) -> None:
        """Return if this is permitted.

        Raises:
            ForbiddenError: it is not; `action` says in words what was refused.
        """
        if self.may(permission):
            return
        if self.on_refusal is not None:
            self.on_refusal(action)
        if permission in PERMISSIONS[self.role]:
            raise ForbiddenError(
                _("{action}: this API token may not do that; nothing was changed.").format(action=action),
                _("Use a token with the scope {scope}.").format(scope=_SCOPE_OF[permission]),
            )
        raise _refusal(permission, action)

    def level(self, collection_id: int) -> AccessLevel:
        """Return what may be done in a collection, within what is permitted at all."""
        found = self.rights.level(collection_id)
        if not self.may(Permission.WRITE):
            found = min(found, AccessLevel.READ)
        return found if self.may(Permission.READ) else AccessLevel.NONE

    def readable(self) -> frozenset[int] | None:
        """Return the collections that may be read, None for all there are."""
        return self.rights.ids() if self.may(Permission.READ) else frozenset()

    def searched(self, chosen: Collection[int] = ()) -> frozenset[int] | None:
        """Return which of the chosen collections (none: of all) may be read, None for all there are."""
        readable = self.readable()
        if not chosen:
            return readable
        return frozenset(chosen) if readable is None else readable.intersection(chosen)

    def cache_scope(self, chosen: Collection[int] = ()) -> tuple[list[int], ...]:
        """Return what a result depends on, as part of a cache key: the chosen collections and what may be read."""
        readable = self.readable()
        return (sorted(chosen),) if readable is None else (sorted(chosen), sorted(readable))

    def require_level(self, collection_id: int, level: AccessLevel, action: str) -> None:
        """Return if that level is reached in a collection.

        Raises:
            NotFoundError: it may not even be read, so nothing is said of whether it exists.
            ForbiddenError: it may be read, but not this; `action` says in words what was refused.
        """
        reached = self.level(collection_id)
        if reached >= level:
            return
        if reached < AccessLevel.READ:
            raise NotFoundError(_("There is no such collection."))
        if self.on_refusal is not None:
            self.on_refusal(action)
        raise ForbiddenError(
            _("{action}: you may read this collection but not change it; nothing was changed.").format(action=action)
            if level < AccessLevel.MANAGE
            else _("{action}: you do not manage this collection; nothing was changed.").format(action=action),
            _("Ask somebody who manages it."),
        )


# Scopes of API tokens, by what they include.
SCOPES: Mapping[str, frozenset[Permission]] = MappingProxyType(
    {
        "read": frozenset({Permission.READ}),
        "ask": frozenset({Permission.READ, Permission.ASK}),
        "write": frozenset({Permission.READ, Permission.WRITE}),
        "operate": frozenset(Permission) - {Permission.ASK, Permission.WRITE},
    }
)
_SCOPE_OF: Mapping[Permission, str] = MappingProxyType(
    {permission: next(name for name, scope in SCOPES.items() if permission in scope) for permission in Permission}
)


def _refusal(permission: Permission, action: str) -> ForbiddenError:
    if permission is Permission.OPERATE:
        return ForbiddenError(
            _("{action}: only an operator or an administrator may do that; nothing was changed.").format(action=action),
            _("Enter the administrator's token, or ask somebody who operates this service."),
        )
    if permission is Permission.AUDIT:
        return ForbiddenError(
            _("{action}: only an auditor or an administrator may do that.").format(action=action),
            _("Ask an administrator."),
        )
    return ForbiddenError(
        _("{action}: only an administrator may do that; nothing was changed.").format(action=action),
        _("Enter the administrator's token, or ask someone who has it."),
    )


# The service itself: its budget, its policy, its timers.
SERVICE = Actor("millpond", Role.ADMIN)
# Somebody who has not signed in where people have to.
NOBODY = Actor("nobody", Role.USER)


def person_name(actor: str) -> str:
    """Return how others are told who did something, by an actor's name: what is known of one without a name."""
    names = {
        "local": _("somebody on the budget page"),
        "api": _("somebody over the API"),
        _("administrator"): _("an administrator"),
    }
    return names.get(actor, actor)
