"""What Alembic leaves out when it compares a database with the declared tables."""

from __future__ import annotations

from services.core.schema_version import bookkeeping

# Tables that are derived from the declared ones, made by hand: the lexical index, and what pgvector searches.
_DERIVED = ("chunk_terms", "chunk_vocab", "chunk_search")


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether something is compared: all but derived tables and the record of revisions."""
    return kind != "table" or not (name in bookkeeping.tables or str(name).startswith(_DERIVED))


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
