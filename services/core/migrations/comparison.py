"""What Alembic leaves out when it compares a database with the declared tables."""

from __future__ import annotations

from services.core.schema_version import schema_history


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether something is compared: all but the tables of SQLite's FTS5 and the record of revisions."""
    return kind != "table" or (name != schema_history.name and not str(name).startswith(("chunk_terms", "chunk_vocab")))


def default_differs(
    _context: object,
    _inspected_column: object,
    _declared_column: object,
    inspected: str | None,
    _declared: object,
    rendered: str | None,
) -> bool | None:
    """Return False for two empty texts, which Alembic takes for different ones on SQLite; None: Alembic decides."""
    if inspected is None or rendered is None:
        return None
    return False if inspected.strip("()'") == rendered.strip("'") == "" else None
