"""A record as people get it: in exports and over the API."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from services.audit.chain import AuditRecord

# Without the salt, which belongs to the name alone.
EXPORTED = tuple(field.name for field in fields(AuditRecord) if field.name != "salt")


def exported(record: AuditRecord) -> dict[str, Any]:
    """Return the fields of a record; its time as text, UTC, to the microsecond."""
    return {name: getattr(record, name) for name in EXPORTED} | {"time": utc_text(record.time)}


def utc_text(microseconds: int) -> str:
    """Return a time, in microseconds since 1970, as `2026-01-31T08:30:00.000001Z`."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
