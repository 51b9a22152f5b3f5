"""Stored measurements of how well an embedding model knows each script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.store.tables import embedder_trust


@dataclass(frozen=True, slots=True)
class MeasuredTrust:
    """Trust from 0 (blind) to 1, and from how many questions it was measured."""

    trust: float
    samples: int


class TrustStore:
    """Reads and writes the measurements by model fingerprint and script. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, fingerprint: str) -> dict[str, MeasuredTrust]:
        """Return the measurements of the model with this fingerprint, by script."""
        query = sa.select(embedder_trust).where(embedder_trust.c.fingerprint == fingerprint)
        with self._database.read() as connection:
            return {row.script: MeasuredTrust(row.trust, row.samples) for row in connection.execute(query)}

    def save(self, fingerprint: str, measured: Mapping[str, MeasuredTrust]) -> None:
        """Replace the measurements of these scripts."""
        rows = [
            {"fingerprint": fingerprint, "script": script, "trust": item.trust, "samples": item.samples}
            for script, item in measured.items()
        ]
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(
                embedder_trust.delete().where(
                    embedder_trust.c.fingerprint == fingerprint, embedder_trust.c.script.in_(measured)
                )
            )
            connection.execute(embedder_trust.insert(), rows)
