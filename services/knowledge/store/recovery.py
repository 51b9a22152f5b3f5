"""What is put in order when the process starts: after an orderly stop there is nothing to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from services.database import Database
from services.knowledge.store.jobs import FAILED, QUEUED, WORKING
from services.knowledge.store.tables import chunks, documents, jobs, revisions, sections
from services.texts import _


@dataclass(frozen=True, slots=True)
class Recovered:
    """Jobs that a crash met and that go on (`suspects`), jobs that were given up, chunks of half-built revisions."""

    suspects: list[int] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    chunks_swept: int = 0


def recover(database: Database, crash_limit: int) -> Recovered:
    """Queue interrupted jobs again, give up those that `crash_limit` crashes met, delete what was half built."""
    with database.write() as connection:
        interrupted = connection.execute(
            sa.select(jobs.c.id, jobs.c.crashes).where(jobs.c.state == WORKING).order_by(jobs.c.id)
        ).all()
        given_up: list[int] = []
        for job_id, crashes in interrupted:
            outcome: dict[str, object] = {"state": QUEUED}
            if crashes + 1 >= crash_limit:
                given_up.append(job_id)
                outcome = {
                    "state": FAILED,
                    "error": _("Millpond was ended {count} times while it worked on this file.").format(
                        count=crashes + 1
                    ),
                    "hint": _("If the file was not the cause, retry it; otherwise save it in another format."),
                    "finished_at": datetime.now(UTC),
                }
            connection.execute(jobs.update().where(jobs.c.id == job_id).values(crashes=crashes + 1, **outcome))
        query = sa.select(jobs.c.id).where(jobs.c.state == QUEUED, jobs.c.crashes > 0).order_by(jobs.c.id)
        suspects = list(connection.execute(query).scalars())
        half_built = (
            sa.select(revisions.c.id)
            .outerjoin(documents, documents.c.active_revision_id == revisions.c.id)
            .where(documents.c.id.is_(None))
        )
        swept = connection.execute(chunks.delete().where(chunks.c.revision_id.in_(half_built))).rowcount
        connection.execute(sections.delete().where(sections.c.revision_id.in_(half_built)))
    return Recovered(suspects, given_up, swept)


def outdated(database: Database, fingerprint: str) -> list[int]:
    """Return the documents whose vectors another embedder made and for which nothing is under way."""
    query = (
        sa.select(documents.c.id)
        .join(revisions, revisions.c.id == documents.c.active_revision_id)
        .where(
            revisions.c.fingerprint != fingerprint,
            revisions.c.sha256 != "",  # what programs bring along is theirs to embed
            documents.c.newest_revision_id == documents.c.active_revision_id,
        )
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def known_originals(database: Database) -> set[str]:
    """Return the names of all originals that a revision refers to."""
    with database.read() as connection:
        return set(connection.execute(sa.select(revisions.c.stored)).scalars())
