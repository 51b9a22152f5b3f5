"""People, their second factor, and who they are at a provider, in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from services.core.actor import Role
from services.core.database import Database
from services.core.database.change_log import Topic, newest, record
from services.identity.store.identity_tables import (
    grants,
    identities,
    people,
    recovery_codes,
    second_factor_setups,
)
from services.identity.types import Person

_IN_SNAPSHOT = ("name", "role", "disabled_at")  # what every node has in memory of each person


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against."""

    person_id: int
    disabled: bool
    password: str | None
    totp_secret: str | None
    totp_step: int


class PeopleStore:
    """Reads and writes people. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last_change(self) -> int:
        """Return the number of the last change of accounts, groups or grants by another node; 0 for none."""
        if not self._database.node:
            return 0
        with self._database.read() as connection:
            return newest(connection, topic=Topic.PEOPLE, besides=self._database.node)

    def all(self) -> list[Person]:
        """Return everybody by name."""
        with self._database.read() as connection:
            return [_as_person(row) for row in connection.execute(_PERSON.order_by(people.c.name_key))]

    def roles(self) -> list[tuple[int, str, str, bool]]:
        """Return id, name, role and whether disabled of everybody."""
        query = sa.select(people.c.id, people.c.name, people.c.role, people.c.disabled_at.is_not(None))
        with self._database.read() as connection:
            return [(row[0], row[1], row[2], bool(row[3])) for row in connection.execute(query)]

    def get(self, person_id: int) -> Person | None:
        with self._database.read() as connection:
            row = connection.execute(_PERSON.where(people.c.id == person_id)).first()
        return _as_person(row) if row else None

    def id_of(self, name_key: str) -> int | None:
        with self._database.read() as connection:
            return connection.scalar(sa.select(people.c.id).where(people.c.name_key == name_key))

    def id_at_provider(self, issuer: str, subject: str) -> int | None:
        """Return who that is at an OIDC provider."""
        query = sa.select(identities.c.person_id).where(identities.c.issuer == issuer, identities.c.subject == subject)
        with self._database.read() as connection:
            return connection.scalar(query)

    def credentials(self, name_key: str) -> Credentials | None:
        """Return what a sign-in under that name is checked against."""
        return self._credentials(people.c.name_key == name_key)

    def credentials_of(self, person_id: int) -> Credentials | None:
        return self._credentials(people.c.id == person_id)

    def _credentials(self, condition: sa.ColumnElement[bool]) -> Credentials | None:
        query = sa.select(
            people.c.id, people.c.disabled_at, people.c.password, people.c.totp_secret, people.c.totp_step
        ).where(condition)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Credentials(row.id, row.disabled_at is not None, row.password, row.totp_secret, row.totp_step)

    def insert(
        self, name: str, name_key: str, display_name: str, role: Role, *, password: str | None, now: float
    ) -> int:
        """Add a person and return the id; 0 if the name is taken."""
        values = {
            "name": name,
            "name_key": name_key,
            "display_name": display_name,
            "role": role.value,
            "password": password,
            "created_at": now,
        }
        try:
            with self._database.write() as connection:
                query = people.insert().values(**values).returning(people.c.id)
                added = int(connection.execute(query).scalar_one())
                record(self._database, connection, Topic.PEOPLE)
                return added
        except IntegrityError:
            return 0

    def update(self, person_id: int, **values: Any) -> bool:
        """Set columns; return whether the person exists."""
        with self._database.write() as connection:
            found = connection.execute(people.update().where(people.c.id == person_id).values(**values)).rowcount > 0
            if found and not values.keys().isdisjoint(_IN_SNAPSHOT):
                record(self._database, connection, Topic.PEOPLE)
            return found

    def use_step(self, person_id: int, step: int) -> bool:
        """Record that the code of a time step is used; return False if it was used already, or a later one."""
        with self._database.write() as connection:
            query = people.update().where(people.c.id == person_id, people.c.totp_step < step).values(totp_step=step)
            return connection.execute(query).rowcount > 0

    def delete(self, person_id: int) -> bool:
        """Delete a person with sessions, tokens, memberships and grants; return whether there was one."""
        with self._database.write() as connection:
            connection.execute(grants.delete().where(grants.c.grantee == person_id))
            record(self._database, connection, Topic.PEOPLE)
            return connection.execute(people.delete().where(people.c.id == person_id)).rowcount > 0

    def link(self, person_id: int, issuer: str, subject: str, now: float) -> None:
        """Record who a person is at an OIDC provider."""
        with self._database.write() as connection:
            connection.execute(
                identities.insert().values(issuer=issuer, subject=subject, person_id=person_id, created_at=now)
            )

    def links(self, person_id: int) -> list[tuple[str, str]]:
        """Return issuer and subject of each provider that knows a person."""
        query = sa.select(identities.c.issuer, identities.c.subject).where(identities.c.person_id == person_id)
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query.order_by(identities.c.created_at))]

    def unlink(self, person_id: int, issuer: str, subject: str) -> bool:
        """Forget who a person is at a provider; return whether it was known."""
        query = identities.delete().where(
            identities.c.person_id == person_id, identities.c.issuer == issuer, identities.c.subject == subject
        )
        with self._database.write() as connection:
            return connection.execute(query).rowcount > 0

    def replace_recovery_codes(self, person_id: int, hashes: Iterable[bytes]) -> None:
        with self._database.write() as connection:
            _delete_codes(connection, person_id)
            connection.execute(recovery_codes.insert(), [{"person_id": person_id, "sha256": each} for each in hashes])

    def begin_second_factor(self, person_id: int, sealed: str, now: float) -> None:
        """Store the secret of a set-up that is not confirmed yet, in place of one that was begun before."""
        with self._database.write() as connection:
            _delete_setup(connection, person_id)
            connection.execute(second_factor_setups.insert().values(person_id=person_id, secret=sealed, begun_at=now))

    def second_factor_setup(self, person_id: int, since: float) -> str | None:
        """Return the sealed secret of a set-up that was begun since then."""
        query = sa.select(second_factor_setups.c.secret).where(
            second_factor_setups.c.person_id == person_id, second_factor_setups.c.begun_at >= since
        )
        with self._database.read() as connection:
            return connection.scalar(query)

    def delete_second_factor_setups(self, before: float) -> None:
        """Delete those that were begun before then and never confirmed; a transaction only where there are some."""
        old = second_factor_setups.c.begun_at < before
        with self._database.read() as connection:
            if connection.scalar(sa.select(second_factor_setups.c.person_id).where(old).limit(1)) is None:
                return
        with self._database.write() as connection:
            connection.execute(second_factor_setups.delete().where(old))

    def enable_second_factor(self, person_id: int, sealed: str, step: int, hashes: Sequence[bytes], now: float) -> None:
        """Store the secret of the second factor and the recovery codes; the set-up is over."""
        with self._database.write() as connection:
            _delete_setup(connection, person_id)
            connection.execute(
                people.update()
                .where(people.c.id == person_id)
                .values(totp_secret=sealed, totp_since=now, totp_step=step)
            )
            _delete_codes(connection, person_id)
            connection.execute(recovery_codes.insert(), [{"person_id": person_id, "sha256": each} for each in hashes])

    def sealed_secrets(self) -> list[tuple[int, str]]:
        """Return id and sealed secret of everybody who has a second factor."""
        query = sa.select(people.c.id, people.c.totp_secret).where(people.c.totp_secret.is_not(None))
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def replace_sealed(self, person_id: int, old: str, new: str) -> None:
        """Store a secret sealed anew, unless it was changed meanwhile."""
        query = people.update().where(people.c.id == person_id, people.c.totp_secret == old)
        with self._database.write() as connection:
            connection.execute(query.values(totp_secret=new))

    def remove_second_factor(self, person_id: int) -> None:
        with self._database.write() as connection:
            _delete_setup(connection, person_id)
            connection.execute(
                people.update().where(people.c.id == person_id).values(totp_secret=None, totp_since=None, totp_step=0)
            )
            _delete_codes(connection, person_id)

    def use_recovery_code(self, person_id: int, sha256: bytes, now: float) -> bool:
        """Mark a code as used; return False if it is none of that person's, or was used already."""
        query = recovery_codes.update().where(
            recovery_codes.c.person_id == person_id,
            recovery_codes.c.sha256 == sha256,
            recovery_codes.c.used_at.is_(None),
        )
        with self._database.write() as connection:
            return connection.execute(query.values(used_at=now)).rowcount > 0

    def unused_recovery_codes(self, person_id: int) -> int:
        """Return how many are left."""
        query = sa.select(sa.func.count()).where(
            recovery_codes.c.person_id == person_id, recovery_codes.c.used_at.is_(None)
        )
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)


_PERSON = sa.select(
    people.c.id,
    people.c.name,
    people.c.display_name,
    people.c.role,
    people.c.disabled_at,
    people.c.password.is_not(None).label("has_password"),
    people.c.totp_since,
    people.c.created_at,
    people.c.last_sign_in,
)


def _as_person(row: Any) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        role=Role(row.role),
        disabled_at=row.disabled_at,
        has_password=bool(row.has_password),
        second_factor_since=row.totp_since,
        created_at=row.created_at,
        last_sign_in=row.last_sign_in,
    )


def _delete_codes(connection: Connection, person_id: int) -> None:
    connection.execute(recovery_codes.delete().where(recovery_codes.c.person_id == person_id))


def _delete_setup(connection: Connection, person_id: int) -> None:
    connection.execute(second_factor_setups.delete().where(second_factor_setups.c.person_id == person_id))
