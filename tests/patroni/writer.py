"""Somebody who writes rows all the while through Millpond's own `Database`, and remembers what was acknowledged."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import sqlalchemy as sa

from services.core.database.database import Database
from services.core.errors import MillpondError

PAUSE_SECONDS = 0.01  # between two rows
AGAIN_SECONDS = 0.05  # after a refusal

_METADATA = sa.MetaData()
ROWS = sa.Table("drill", _METADATA, sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False))


@dataclass
class History:
    """What was acknowledged, by number and time; what was refused, by the kind of the error; when it was read."""

    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    read: list[float] = field(default_factory=list)
    stale: int = 0  # reads that did not have what had been acknowledged before they began

    def longest_gap(self, since: float, until: float, *, reading: bool = False) -> float:
        """Return the longest time without an acknowledged row, or without a read, in seconds."""
        times = list(self.read) if reading else [moment for _number, moment in list(self.acknowledged)]
        within = [since, *(moment for moment in times if since <= moment <= until), until]
        return max(later - earlier for earlier, later in itertools.pairwise(within))

    def goes_on(self) -> bool:
        """Return whether a row was acknowledged in the last half second."""
        return bool(self.acknowledged) and self.acknowledged[-1][1] > time.monotonic() - 0.5


class Writer:
    """Writes in one thread and reads in another until it is stopped; each row has a number that is used once."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, schema=_METADATA)
        with self.database.write() as connection:
            _METADATA.create_all(connection)
        self.history = History()
        self._newest = 0
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> set[int]:
        """End both threads; return the rows that are there. Nobody else has written any."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)
        with self.database.read() as connection:
            there = set(connection.scalars(sa.select(ROWS.c.id)))
        self.database.close()
        return there

    def _write(self) -> None:
        number = 0
        while not self._stopped.wait(PAUSE_SECONDS):
            number += 1  # one that was refused is not tried again: it may have been written all the same
            try:
                with self.database.write() as connection:
                    connection.execute(sa.insert(ROWS).values(id=number))
            except MillpondError as error:
                self.history.refused[error.kind.value] += 1
                self._stopped.wait(AGAIN_SECONDS)
            except Exception as error:  # noqa: BLE001 - what a user would be told as a defect
                self.history.refused[f"defect: {type(error).__name__}: {error}"[:200]] += 1
                self._stopped.wait(AGAIN_SECONDS)
            else:
                self.history.acknowledged.append((number, time.monotonic()))
                self._newest = number

    def _read(self) -> None:
        while not self._stopped.wait(PAUSE_SECONDS * 5):
            newest = self._newest
            try:
                with self.database.read() as connection:
                    found = connection.scalar(sa.select(sa.func.max(ROWS.c.id))) or 0
            except MillpondError as error:
                self.history.refused[f"read: {error.kind.value}"] += 1
            except Exception as error:  # noqa: BLE001 - the same
                self.history.refused[f"read: defect: {type(error).__name__}: {error}"[:200]] += 1
            else:
                self.history.read.append(time.monotonic())
                self.history.stale += found < newest
