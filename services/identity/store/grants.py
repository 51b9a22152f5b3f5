"""Groups, memberships and grants in the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.core.actor import AccessLevel
from services.core.database import Database
from services.core.database.change_log import Topic, record
from services.identity.store.identity_tables import grants, groups, memberships, people
from services.identity.types import Grant, Grantee, GroupInfo


class GrantStore:
    """Reads and writes groups, memberships and grants. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Groups

    def groups(self) -> list[GroupInfo]:
        """Return all groups by name."""
        count = sa.func.count(memberships.c.person_id)
        query = (
            sa.select(groups.c.id, groups.c.name, count)
            .outerjoin(memberships, memberships.c.group_id == groups.c.id)
            .group_by(groups.c.id)
            .order_by(groups.c.name_key)
        )
        with self._database.read() as connection:
            return [GroupInfo(*row) for row in connection.execute(query)]

    def group_name(self, group_id: int) -> str | None:
        with self._database.read() as connection:
            return connection.scalar(sa.select(groups.c.name).where(groups.c.id == group_id))

    def insert_group(self, name: str, name_key: str) -> int:
        """Add a group and return its id; 0 if the name is taken."""
        try:
            with self._database.write() as connection:
                query = groups.insert().values(name=name, name_key=name_key).returning(groups.c.id)
                return int(connection.execute(query).scalar_one())
        except IntegrityError:
            return 0

    def rename_group(self, group_id: int, name: str, name_key: str) -> bool:
        """Return False if the name is taken."""
        try:
            with self._database.write() as connection:
                connection.execute(groups.update().where(groups.c.id == group_id).values(name=name, name_key=name_key))
        except IntegrityError:
            return False
        return True

    def delete_group(self, group_id: int) -> None:
        """Delete a group with its memberships and grants."""
        with self._database.write() as connection:
            connection.execute(grants.delete().where(grants.c.grantee == -group_id))
            connection.execute(groups.delete().where(groups.c.id == group_id))
            record(self._database, connection, Topic.PEOPLE)

    def members(self, group_id: int) -> list[tuple[int, str]]:
        """Return id and name of the members, by name."""
        query = (
            sa.select(people.c.id, people.c.name)
            .join(memberships, memberships.c.person_id == people.c.id)
            .where(memberships.c.group_id == group_id)
            .order_by(people.c.name_key)
        )
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def add_member(self, group_id: int, person_id: int) -> bool:
        """Return False if the person was a member already."""
        try:
            with self._database.write() as connection:
                connection.execute(memberships.insert().values(group_id=group_id, person_id=person_id))
                record(self._database, connection, Topic.PEOPLE)
        except IntegrityError:
            return False
        return True

    def remove_member(self, group_id: int, person_id: int) -> bool:
        """Return False if the person was no member."""
        query = memberships.delete().where(memberships.c.group_id == group_id, memberships.c.person_id == person_id)
        with self._database.write() as connection:
            removed = connection.execute(query).rowcount > 0
            if removed:
                record(self._database, connection, Topic.PEOPLE)
            return removed

    def memberships(self, person_id: int | None = None) -> list[tuple[int, int]]:
        """Return (group, person) of everybody, or of one person."""
        query = sa.select(memberships.c.group_id, memberships.c.person_id).order_by(memberships.c.group_id)
        if person_id is not None:
            query = query.where(memberships.c.person_id == person_id)
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    # Grants

    def all_grants(self) -> Iterator[tuple[int, int, int]]:
        """Yield (grantee, collection, level), those of one grantee together and by collection."""
        query = sa.select(grants.c.grantee, grants.c.collection_id, grants.c.level).order_by(
            grants.c.grantee, grants.c.collection_id
        )
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=2000).execute(query):
                yield row[0], row[1], row[2]

    def grants_of(self, grantee: int) -> list[tuple[int, int]]:
        """Return (collection, level) of what somebody was granted, by collection."""
        query = (
            sa.select(grants.c.collection_id, grants.c.level)
            .where(grants.c.grantee == grantee)
            .order_by(grants.c.collection_id)
        )
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def grants_on(self, collection_id: int) -> list[Grant]:
        """Return the grants on a collection with the names of whom they are for: everyone, groups, people by name."""
        query = (
            sa.select(grants.c.grantee, grants.c.level, people.c.name.label("person"), groups.c.name.label("group"))
            .outerjoin(people, people.c.id == grants.c.grantee)
            .outerjoin(groups, groups.c.id == -grants.c.grantee)
            .where(grants.c.collection_id == collection_id)
        )
        with self._database.read() as connection:
            found = [
                Grant(collection_id, Grantee.of_key(row.grantee), AccessLevel(row.level), row.person or row.group or "")
                for row in connection.execute(query)
            ]
        return sorted(found, key=lambda each: (each.grantee.key > 0, each.grantee.key < 0, each.name.casefold()))

    def shared_collections(self, but: int) -> frozenset[int]:
        """Return the collections on which anybody but that grantee has a grant."""
        query = sa.select(grants.c.collection_id).where(grants.c.grantee != but).distinct()
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def set_grant(self, collection_ids: Sequence[int], grantee: int, level: AccessLevel) -> None:
        """Set the level on collections instead of what was there; NONE removes it."""
        with self._database.write() as connection:
            connection.execute(
                grants.delete().where(grants.c.collection_id.in_(collection_ids), grants.c.grantee == grantee)
            )
            if level and collection_ids:
                connection.execute(
                    grants.insert(),
                    [
                        {"collection_id": each, "grantee": grantee, "level": int(level)}
                        for each in sorted(set(collection_ids))
                    ],
                )
            record(self._database, connection, Topic.PEOPLE)

    def forget_collection(self, collection_id: int) -> list[int]:
        """Remove the grants on a collection that is gone; return whose they were."""
        with self._database.write() as connection:
            query = grants.delete().where(grants.c.collection_id == collection_id).returning(grants.c.grantee)
            found = list(connection.scalars(query))
            if found:
                record(self._database, connection, Topic.PEOPLE)
            return found
