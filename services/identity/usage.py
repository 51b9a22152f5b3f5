"""Usage per person and day: added up in memory, written once a minute, erased with the person.

What people see of each other is for those who manage people; metrics have it by role alone, without names.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from services.core.actor import Actor, Permission, Role
from services.core.database import Database
from services.core.i18n import _
from services.core.usage import UsageCounts
from services.identity.store.usage_store import UsageStore

SHOWN_DAYS = 30
KEPT_DAYS = 400  # a year, and the month to compare it with
_DAY = 86_400
_MOST_PENDING = 10_000  # people between two writes; what more of them use is not counted


class Usage:
    """Counts what people use. Thread-safe. What was counted in the last minute is lost with the process."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._store = UsageStore(database)
        self._now = now
        self._lock = threading.Lock()  # counting, never while the database is waited for
        self._writing = threading.Lock()
        self._pending: dict[tuple[int, int], UsageCounts] = {}
        self._by_role: defaultdict[Role, UsageCounts] = defaultdict(UsageCounts)

    def count(self, actor: Actor, used: UsageCounts) -> None:
        """Count what somebody has just used; of those without an account only their role is kept."""
        with self._lock:
            self._by_role[actor.role] += used
            if actor.person_id is not None:
                key = actor.person_id, self._today()
                if key in self._pending or len(self._pending) < _MOST_PENDING:
                    self._pending[key] = self._pending.get(key, UsageCounts()) + used

    def of_people(self, actor: Actor) -> defaultdict[int, UsageCounts]:
        """Return what people used in the last 30 days, by person; nothing for those who used nothing.

        Raises:
            ForbiddenError: `actor` does not manage people.
        """
        actor.require(Permission.PEOPLE, _("See what others use"))
        first = self._today() - SHOWN_DAYS + 1
        with self._writing:  # so that nothing is on its way from there to here
            found = self._store.sums_since(first)
            with self._lock:
                pending = list(self._pending.items())
        for (person, day), used in pending:
            if day >= first:
                found[person] += used
        return found

    def by_role(self) -> dict[Role, UsageCounts]:
        """Return what was used since the start, by role: for metrics, which have no names."""
        with self._lock:
            return {role: self._by_role[role] for role in Role}

    def write(self) -> None:
        """Write what was counted, and remove days that are too old; called once a minute, and at close."""
        with self._writing:
            with self._lock:
                batch, self._pending = self._pending, {}
            try:
                if batch:
                    self._store.add(batch, oldest=self._today() - KEPT_DAYS + 1)
            except BaseException:
                with self._lock:
                    for key, used in batch.items():
                        self._pending[key] = self._pending.get(key, UsageCounts()) + used
                raise

    def _today(self) -> int:
        """Return the day in UTC, counted from 1970."""
        return int(self._now() // _DAY)
