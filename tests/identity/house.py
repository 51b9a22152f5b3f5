from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyotp
import sqlalchemy as sa

from services.core.actor import Actor, Role
from services.core.auditing import NOTHING, Action, AuditOutcome, Target
from services.core.database import Database
from services.core.preferences import Preferences
from services.core.secret_box import SecretBox
from services.identity.identity import Identity, IdentityRules
from services.identity.passwords import HashCost, PasswordHasher
from services.identity.store.identity_tables import people
from services.identity.types import Person, Revocation, SignedIn

PASSWORD = "violet tractor under seven moons"
OTHER_PASSWORD = "a kettle sings to forty herons"
# The least that argon2 takes: what is tested here is not how long guessing takes.
CHEAP = HashCost(memory_kib=64, passes=1)


@dataclass(frozen=True)
class Recorded:
    actor: str
    action: Action
    target: Target
    outcome: AuditOutcome
    detail: str


@dataclass
class AuditList:
    """Keeps what was recorded; the audit log itself has tests of its own."""

    records: list[Recorded] = field(default_factory=list)

    def audit(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        self.records.append(Recorded(actor.name if actor else "", action, target, outcome, detail))

    def actions(self) -> list[Action]:
        return [record.action for record in self.records]


class House:
    """Identity over a real database, with a clock that the test moves."""

    def __init__(self, database: Database, folder: Path, rules: IdentityRules | None = None) -> None:
        self.database = database
        self.folder = folder
        self.rules = rules or IdentityRules()
        self.now = 1_000_000_000.0
        self.audit = AuditList()
        self.collections = [1, 2, 3]
        self.preferences = Preferences(database)
        self.revoked: list[Revocation] = []
        self.identity = self.open()

    def open(self, cost: HashCost = CHEAP) -> Identity:
        """Return identity as after a restart."""
        identity = Identity(
            self.database,
            self.preferences,
            SecretBox(self.folder),
            self.audit,
            self.rules,
            now=lambda: self.now,
            monotonic=lambda: self.now,
            collections=lambda: self.collections,
            hasher=PasswordHasher(cost),
        )
        identity.on_revoked(self.revoked.append)
        self.identity = identity
        return identity

    @property
    def local(self) -> Actor:
        return self.identity.local_actor()

    def add(self, name: str, role: Role = Role.USER, password: str | None = PASSWORD) -> Person:
        return self.identity.accounts.add(self.local, name, role, password=password)

    def sign_in(
        self, name: str, password: str = PASSWORD, code: str = "", *, address: str = "10.0.0.1", known_device: str = ""
    ) -> SignedIn:
        return self.identity.sign_in(
            name, password, code, address=address, device="curl/8.1", known_device=known_device
        )

    def actor(self, name: str) -> Actor:
        """Return somebody as they are with their next request."""
        return self.identity.sign_in(name, PASSWORD, address="10.0.0.1", device="").actor

    def stored_password(self, name: str) -> str:
        with self.database.read() as connection:
            return str(connection.scalar(sa.select(people.c.password).where(people.c.name == name)))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the statements that the database gets."""
        found: list[str] = []

        def collect(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
            found.append(statement)

        sa.event.listen(self.database.engine, "before_cursor_execute", collect)
        try:
            yield found
        finally:
            sa.event.remove(self.database.engine, "before_cursor_execute", collect)

    def recovery_codes(self, name: str, actor: Actor | None = None) -> list[str]:
        """Turn somebody's second factor on and return the recovery codes."""
        return self._enabled(name, actor)[1]

    def enable_second_factor(self, name: str, actor: Actor | None = None) -> str:
        """Turn somebody's second factor on and return its secret."""
        return self._enabled(name, actor)[0]

    def _enabled(self, name: str, actor: Actor | None) -> tuple[str, list[str]]:
        actor = actor or self.actor(name)
        setup = self.identity.account.begin_second_factor(actor, PASSWORD)
        code = pyotp.TOTP(setup.secret).at(self.now)
        return setup.secret, self.identity.account.confirm_second_factor(actor, code)
