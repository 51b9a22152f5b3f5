"""Stored measurements of how well an embedding model knows each script and kind of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from services.core.database import Database
from services.core.database.change_log import Topic, record
from services.knowledge.store.tables import embedder_trust
from services.knowledge.text.kinds import TextKind

# What other nodes are told has changed.
TRUST = "embedder trust"


@dataclass(frozen=True, slots=True)
class MeasuredTrust:
    """Trust from 0 (blind) to 1, and from how many questions it was measured."""

    trust: float
    samples: int


# Script and kind of text.
Measured = tuple[str, TextKind]
# Between kind and script in the column `script`; what version 0.1.0 measured has none, and is left out: it mixed kinds.
_SEPARATOR = "/"


class TrustStore:
    """Reads and writes the measurements by model fingerprint. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, fingerprint: str) -> dict[Measured, MeasuredTrust]:
        """Return the measurements of the model with this fingerprint."""
        query = sa.select(embedder_trust).where(embedder_trust.c.fingerprint == fingerprint)
        found: dict[Measured, MeasuredTrust] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                kind, separator, script = row.script.partition(_SEPARATOR)
                if separator:
                    found[script, TextKind(kind)] = MeasuredTrust(row.trust, row.samples)
        return found

    def replace(self, fingerprint: str, measured: Mapping[Measured, MeasuredTrust]) -> None:
        """Replace all measurements of a model."""
        rows = [
            {
                "fingerprint": fingerprint,
                "script": f"{kind.value}{_SEPARATOR}{script}",
                "trust": item.trust,
                "samples": item.samples,
            }
            for (script, kind), item in measured.items()
        ]
        with self._database.write() as connection:
            connection.execute(embedder_trust.delete().where(embedder_trust.c.fingerprint == fingerprint))
            if rows:
                connection.execute(embedder_trust.insert(), rows)
            record(self._database, connection, Topic.SETTINGS, TRUST)
