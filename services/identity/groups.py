"""Groups: people who are granted access together."""

from __future__ import annotations

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import ConflictError, NotFoundError
from services.core.i18n import _
from services.identity.ground import IdentityGround
from services.identity.name_rules import checked_name, name_key
from services.identity.types import Grantee, GranteeKind, GroupInfo, RevocationReason


class Groups:
    """Makes, changes and deletes groups. Thread-safe; every method raises ForbiddenError unless people are managed."""

    def __init__(self, ground: IdentityGround) -> None:
        self._ground = ground

    def all(self, actor: Actor) -> list[GroupInfo]:
        """Return all groups by name: who manages a collection sees them, too, to share it."""
        if actor.scopes is not None or actor.person_id is None:
            actor.require(Permission.PEOPLE, _("See the groups"))
        return self._ground.grants.groups()

    def named(self, actor: Actor, name: str) -> GroupInfo:
        """Return the group of that name.

        Raises:
            NotFoundError: there is none.
        """
        key = name_key(name)
        for group in self.all(actor):
            if name_key(group.name) == key:
                return group
        raise _not_found()

    def members(self, actor: Actor, group_id: int) -> list[tuple[int, str]]:
        """Return id and name of the members, by name; NotFoundError without such a group."""
        actor.require(Permission.PEOPLE, _("See who is in a group"))
        self._name(group_id)
        return self._ground.grants.members(group_id)

    def of_people(self, actor: Actor) -> dict[int, list[str]]:
        """Return the names of the groups that people are in, by person."""
        actor.require(Permission.PEOPLE, _("See who is in a group"))
        names = {group.id: group.name for group in self._ground.grants.groups()}
        groups_of = self._ground.directory.snapshot.groups_of
        return {
            person: sorted(names[group] for group in found if group in names) for person, found in groups_of.items()
        }

    def add(self, actor: Actor, name: str) -> GroupInfo:
        """Return a new group without members.

        Raises:
            BadInputError: the name cannot be used.
            ConflictError: it is taken.
        """
        actor.require(Permission.PEOPLE, _("Create a group"))
        shown = checked_name(name)
        added = self._ground.grants.insert_group(shown, name_key(shown))
        if not added:
            raise _taken(shown)
        self._record(actor, added, shown, _("created"))
        return GroupInfo(added, shown, 0)

    def rename(self, actor: Actor, group_id: int, name: str) -> GroupInfo:
        """Give a group another name; errors as for `add`, or NotFoundError."""
        actor.require(Permission.PEOPLE, _("Change a group"))
        old, shown = self._name(group_id), checked_name(name)
        if not self._ground.grants.rename_group(group_id, shown, name_key(shown)):
            raise _taken(shown)
        self._record(actor, group_id, shown, _("renamed, formerly {name}").format(name=old))
        return GroupInfo(group_id, shown, len(self._ground.directory.members(group_id)))

    def delete(self, actor: Actor, group_id: int) -> None:
        """Delete a group with the grants that it has; NotFoundError without such a group."""
        actor.require(Permission.PEOPLE, _("Delete a group"))
        with self._ground.changing:
            name = self._name(group_id)
            members = self._ground.directory.members(group_id)
            self._ground.grants.delete_group(group_id)
            self._ground.directory.reload_groups()
            self._ground.directory.reload_grants([Grantee(GranteeKind.GROUP, group_id).key])
        for person_id in members:
            self._ground.revocations.publish(person_id, RevocationReason.RIGHTS)
        self._record(actor, group_id, name, _("deleted"))

    def add_member(self, actor: Actor, group_id: int, person_id: int) -> None:
        """Put a person into a group; nothing changes for one who is in it. NotFoundError without group or person."""
        actor.require(Permission.PEOPLE, _("Change who is in a group"))
        with self._ground.changing:
            name, person = self._name(group_id), self._ground.person(person_id)
            if not self._ground.grants.add_member(group_id, person_id):
                return
            self._ground.directory.reload_person(person_id)
        self._record(actor, group_id, name, _("with {name}").format(name=person.name))

    def remove_member(self, actor: Actor, group_id: int, person_id: int) -> None:
        """Take a person out of a group, with what they got by it alone; NotFoundError as for `add_member`."""
        actor.require(Permission.PEOPLE, _("Change who is in a group"))
        with self._ground.changing:
            name, person = self._name(group_id), self._ground.person(person_id)
            if not self._ground.grants.remove_member(group_id, person_id):
                return
            self._ground.directory.reload_person(person_id)
        self._ground.revocations.publish(person_id, RevocationReason.RIGHTS)
        self._record(actor, group_id, name, _("without {name}").format(name=person.name))

    def _name(self, group_id: int) -> str:
        name = self._ground.grants.group_name(group_id)
        if name is None:
            raise _not_found()
        return name

    def _record(self, actor: Actor, group_id: int, name: str, detail: str) -> None:
        self._ground.audit.audit(actor, Action.GROUP_CHANGED, Target(TargetKind.GROUP, group_id, name), detail=detail)


def _not_found() -> NotFoundError:
    return NotFoundError(_("There is no such group."), _("`millpond groups list` shows which there are."))


def _taken(name: str) -> ConflictError:
    return ConflictError(
        _("There is already a group named {name}; nothing was changed.").format(name=name),
        _("Choose another name: capitals make no difference."),
    )
