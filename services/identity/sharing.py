"""Sharing: who may do what in a collection, by grants to people, groups, and everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.core.actor import AccessLevel, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.identity.ground import IdentityGround
from services.identity.name_rules import name_key
from services.identity.types import EVERYONE, Grant, Grantee, GranteeKind, RevocationReason


class Sharing:
    """Reads and changes grants. Thread-safe; a change counts for every request when its method returns."""

    def __init__(
        self, ground: IdentityGround, *, new_collections: AccessLevel, collections: Callable[[], Iterable[int]]
    ) -> None:
        """`new_collections`: what everyone may do in them; `collections` returns the ids of those there are."""
        self._ground = ground
        self._new_collections = new_collections
        self._collections = collections

    def grants(self, actor: Actor, collection_id: int) -> list[Grant]:
        """Return the grants on a collection: everyone first, then groups and people by name.

        Raises:
            NotFoundError, ForbiddenError: `actor` neither manages the collection nor people.
        """
        self._require(actor, collection_id, _("See who may use a collection"))
        return self._ground.grants.grants_on(collection_id)

    def shared(self, actor: Actor) -> frozenset[int]:
        """Return the collections that `actor` manages and others may use, administrators aside."""
        managed = actor.rights.ids(AccessLevel.MANAGE)
        found = self._ground.grants.shared_collections(actor.person_id or 0)
        return found if managed is None else found & managed

    def set(self, actor: Actor, collection_id: int, grantee: Grantee, level: AccessLevel) -> None:
        """Grant a level instead of what was granted before; NONE withdraws the grant.

        Raises:
            NotFoundError: there is no such collection, person or group.
            ForbiddenError: as for `grants`.
        """
        self._require(actor, collection_id, _("Share a collection"))
        with self._ground.changing:
            name = self._name(grantee)
            before = dict(self._ground.grants.grants_of(grantee.key)).get(collection_id, 0)
            self._ground.grants.set_grant([collection_id], grantee.key, level)
            self._ground.directory.reload_grants([grantee.key])
        if level < before:
            self._publish(grantee)
        self._ground.audit.audit(
            actor,
            Action.GRANT_CHANGED,
            Target(TargetKind.COLLECTION, collection_id),
            detail=_("{name}: {level}").format(name=name, level=level.name.lower()),
        )

    def find_grantee(self, actor: Actor, collection_id: int, kind: GranteeKind, name: str) -> Grantee:
        """Return a person or group by name, for somebody who shares a collection; errors as for `set`."""
        self._require(actor, collection_id, _("Share a collection"))
        key = name_key(name)
        if kind is GranteeKind.EVERYONE:
            return EVERYONE
        if kind is GranteeKind.PERSON:
            found = self._ground.people.id_of(key)
        else:
            found = next((each.id for each in self._ground.grants.groups() if name_key(each.name) == key), None)
        if found is None:
            raise _nobody()
        return Grantee(kind, found)

    def on_collection_created(self, actor: Actor, collection_id: int) -> None:
        """Let whoever made a collection manage it, and everyone what the settings say of new ones."""
        with self._ground.changing:
            keys = []
            if actor.person_id is not None:
                self._ground.grants.set_grant([collection_id], actor.person_id, AccessLevel.MANAGE)
                keys.append(actor.person_id)
            if self._new_collections > AccessLevel.NONE and self._ground.directory.snapshot.people:
                self._ground.grants.set_grant([collection_id], EVERYONE.key, self._new_collections)
                keys.append(EVERYONE.key)
            self._ground.directory.reload_grants(keys)

    def on_collection_deleted(self, collection_id: int) -> None:
        """Forget the grants on a collection that is gone."""
        with self._ground.changing:
            keys = self._ground.grants.forget_collection(collection_id)
            self._ground.directory.reload_grants(keys)

    def share_everything(self) -> None:
        """Let everyone write in the collections that exist: what was shared before there were accounts stays shared."""
        with self._ground.changing:
            self._ground.grants.set_grant(list(self._collections()), EVERYONE.key, AccessLevel.WRITE)
            self._ground.directory.reload_grants([EVERYONE.key])

    def _require(self, actor: Actor, collection_id: int, action: str) -> None:
        if not actor.may(Permission.PEOPLE):
            actor.require_level(collection_id, AccessLevel.MANAGE, action)
        elif collection_id not in self._collections():
            raise NotFoundError(_("There is no such collection."))

    def _name(self, grantee: Grantee) -> str:
        if grantee.kind is GranteeKind.EVERYONE:
            return _("everyone")
        if grantee.kind is GranteeKind.PERSON:
            person = self._ground.directory.person(grantee.id)
            name = person.name if person is not None else None
        else:
            name = self._ground.grants.group_name(grantee.id)
        if name is None:
            raise _nobody()
        return name

    def _publish(self, grantee: Grantee) -> None:
        if grantee.kind is GranteeKind.EVERYONE:
            self._ground.revocations.publish(None, RevocationReason.RIGHTS)
        elif grantee.kind is GranteeKind.PERSON:
            self._ground.revocations.publish(grantee.id, RevocationReason.RIGHTS)
        else:
            for person_id in self._ground.directory.members(grantee.id):
                self._ground.revocations.publish(person_id, RevocationReason.RIGHTS)


def _nobody() -> NotFoundError:
    return NotFoundError(_("There is no such person or group; nothing was changed."), _("Check how the name is spelt."))
