"""Who there is and what each may do, as one immutable snapshot in memory that every request reads.

Measured with 10,000 people, 1,000 groups and 100,000 grants: see `tests/benchmarks/bench_identity.py`.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType

from services.core.actor import EVERYWHERE, AccessLevel, CollectionRights, Role
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport, Owner, object_bytes
from services.identity.store.grants import GrantStore
from services.identity.store.people import PeopleStore

# A grant is one number: the collection's, shifted, and the level.
_LEVEL_BITS, _LEVEL_MASK = 2, 3
_LEVELS = tuple(AccessLevel)
_MOST_JOINED = 100_000  # levels of people that are kept joined, about 6 MB


@dataclass(frozen=True, slots=True)
class Known:
    """What requests need of a person."""

    id: int
    name: str
    role: Role
    disabled: bool


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """One state of people, memberships and grants; never changed, only replaced."""

    people: Mapping[int, Known] = field(default_factory=dict)
    groups_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    grants: Mapping[int, array[int]] = field(default_factory=dict)  # by `Grantee.key`

    def levels(self, person_id: int) -> dict[int, AccessLevel]:
        """Return the highest level in each collection by grants to the person, their groups, and everyone."""
        levels: dict[int, AccessLevel] = {}
        for key in (0, *(-group for group in self.groups_of.get(person_id, ())), person_id):
            for each in self.grants.get(key, ()):
                collection, level = each >> _LEVEL_BITS, _LEVELS[each & _LEVEL_MASK]
                if level > levels.get(collection, -1):
                    levels[collection] = level
        return levels


class _JoinedRights:
    """What some people may do in which collection, joined from all their grants in one state."""

    def __init__(self) -> None:
        self.rights: dict[int, CollectionRights] = {}
        self._levels = 0

    def add(self, person_id: int, rights: CollectionRights) -> None:
        """Keep the rights of a person; of very many all are forgotten, and joined anew when they are asked for."""
        self._levels += len(rights.levels) + 1
        if self._levels > _MOST_JOINED:
            self.rights.clear()
            self._levels = len(rights.levels) + 1
        self.rights[person_id] = rights

    def size(self) -> tuple[int, int]:
        """Return the bytes that are kept, and how many of them are in large objects."""
        rights = list(self.rights.values())
        # A proxy does not say the size of the dictionary behind it; a copy has the same.
        return object_bytes([self.rights, *(dict(each.levels) for each in rights)])


class Directory:
    """Holds the present snapshot; after a change in the database the part that changed is read anew. Thread-safe."""

    def __init__(self, people: PeopleStore, grants: GrantStore) -> None:
        self._people = people
        self._grants = grants
        self._lock = threading.Lock()
        self._joined = _JoinedRights()
        self._loads = 0
        self._now = DirectorySnapshot()
        self._followed = 0  # the last change of another node that is in it
        self._measured: tuple[DirectorySnapshot, tuple[int, int]] | None = None
        self.load()

    @property
    def snapshot(self) -> DirectorySnapshot:
        """The present state."""
        return self._now

    def load(self) -> None:
        """Read everything anew."""
        with self._lock:
            followed = self._people.last_change()  # read first: what comes meanwhile is read once more
            people = {row[0]: Known(row[0], row[1], Role(row[2]), row[3]) for row in self._people.roles()}
            self._loads += 1
            self._replace(DirectorySnapshot(people, self._groups_of(), self._all_grants()))
            self._followed = followed

    def refresh(self) -> None:
        """Read everything anew if another node has changed something since."""
        if self._people.last_change() > self._followed:
            self.load()

    def person(self, person_id: int) -> Known | None:
        """Return a person, None if there is none of that id."""
        return self._now.people.get(person_id)

    def rights(self, person_id: int) -> CollectionRights:
        """Return what a person may do in which collection; an administrator manages all."""
        joined = self._joined
        known = joined.rights.get(person_id)
        if known is not None:
            return known
        state = self._now
        person = state.people.get(person_id)
        if person is not None and person.role is Role.ADMIN:
            found = EVERYWHERE
        else:
            found = CollectionRights(MappingProxyType(state.levels(person_id) if person is not None else {}))
        joined.add(person_id, found)  # of the same state: a new state comes with a new one
        return found

    def members(self, group_id: int) -> list[int]:
        """Return who is in a group."""
        return [person for person, groups in self._now.groups_of.items() if group_id in groups]

    def enabled_admins(self) -> int:
        """Return how many administrators can sign in."""
        return sum(person.role is Role.ADMIN and not person.disabled for person in self._now.people.values())

    def reload_person(self, person_id: int) -> None:
        """Read one person anew, who may be gone, with memberships and grants."""
        with self._lock:
            state = self._now
            found = self._people.get(person_id)
            people, groups_of, grants = dict(state.people), dict(state.groups_of), dict(state.grants)
            people.pop(person_id, None)
            groups_of.pop(person_id, None)
            grants.pop(person_id, None)
            if found is not None:
                people[person_id] = Known(person_id, found.name, found.role, found.disabled_at is not None)
                if groups := tuple(group for group, _person in self._grants.memberships(person_id)):
                    groups_of[person_id] = groups
                if packed := _packed(self._grants.grants_of(person_id)):
                    grants[person_id] = packed
            self._replace(DirectorySnapshot(people, groups_of, grants))

    def reload_groups(self) -> None:
        """Read all memberships anew."""
        with self._lock:
            self._replace(replace(self._now, groups_of=self._groups_of()))

    def reload_grants(self, keys: Iterable[int]) -> None:
        """Read the grants of some people and groups anew, by `Grantee.key`."""
        with self._lock:
            grants = dict(self._now.grants)
            for key in keys:
                grants.pop(key, None)
                if packed := _packed(self._grants.grants_of(key)):
                    grants[key] = packed
            self._replace(replace(self._now, grants=grants))

    def memory_report(self) -> MemoryReport:
        """Return what the snapshot holds."""
        state = self._now
        if self._measured is None or self._measured[0] is not state:
            self._measured = state, _size_of(state)
        size, large = self._measured[1]
        joined, joined_large = self._joined.size()
        detail = plural("{count} account", "{count} accounts", len(state.people))
        return MemoryReport(
            _("Accounts and grants"),
            detail,
            size + joined,
            self._loads,
            owner=Owner.PYTHON,
            large=large + joined_large,
        )

    def _replace(self, state: DirectorySnapshot) -> None:
        self._now = state
        self._joined = _JoinedRights()

    def _groups_of(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, tuple[int, ...]] = {}
        for group, person in self._grants.memberships():
            found[person] = (*found.get(person, ()), group)
        return found

    def _all_grants(self) -> dict[int, array[int]]:
        rows = groupby(self._grants.all_grants(), key=lambda row: row[0])
        return {key: _packed((collection, level) for _key, collection, level in found) for key, found in rows}


def _packed(grants: Iterable[tuple[int, int]]) -> array[int]:
    return array("q", ((collection << _LEVEL_BITS) + level for collection, level in grants))


def _size_of(state: DirectorySnapshot) -> tuple[int, int]:
    """Return the bytes of a snapshot, and how many of them are in large objects."""
    objects: list[object] = [state.people, state.groups_of, state.grants]
    objects += state.people.values()
    objects += (person.name for person in state.people.values())
    objects += state.groups_of.values()
    objects += state.grants.values()
    return object_bytes(objects)
