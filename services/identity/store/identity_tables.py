"""Tables of people, groups, grants, sessions and API tokens. Times are seconds since 1970, UTC."""

from __future__ import annotations

import sqlalchemy as sa

from services.core.database import WHOLE, metadata


def _person() -> sa.Column[int]:
    return sa.Column("person_id", sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True)


people = sa.Table(
    "people",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("name_key", sa.String(300), nullable=False, unique=True),  # NFKC and case folded
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("disabled_at", sa.Float),
    sa.Column("password", sa.Text),  # argon2id, as its own text says
    sa.Column("totp_secret", sa.Text),  # sealed
    sa.Column("totp_since", sa.Float),
    sa.Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),  # the last one used: no code twice
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("last_sign_in", sa.Float),
    sqlite_autoincrement=True,  # ids of deleted people are never used again
)

recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    _person(),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("used_at", sa.Float),
)

# Begun and not confirmed yet; deleted when the time for it is over.
second_factor_setups = sa.Table(
    "second_factor_setups",
    metadata,
    sa.Column("person_id", sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("secret", sa.Text, nullable=False),  # sealed
    sa.Column("begun_at", sa.Float, nullable=False),
)

# Of several nodes: what one sees of them counts for all. Times are seconds since 1970 by the database's clock.
sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    sa.Column("key", sa.LargeBinary(32), primary_key=True),  # a keyed hash
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("failed_at", sa.Float, nullable=False, index=True),
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    _person(),
    sa.Column("created_at", sa.Float, nullable=False),
)

groups = sa.Table(
    "groups",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("name_key", sa.String(300), nullable=False, unique=True),
    sqlite_autoincrement=True,
)

memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("group_id", sa.ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# `grantee`: the id of a person, the negative id of a group, 0 for everyone. Collections are tables of another folder.
grants = sa.Table(
    "grants",
    metadata,
    sa.Column("collection_id", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("grantee", WHOLE, primary_key=True, autoincrement=False, index=True),
    sa.Column("level", WHOLE, nullable=False),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False, unique=True),  # of the token
    _person(),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("last_seen", sa.Float, nullable=False),
    sa.Column("device", sa.String(100), nullable=False),
    sa.Column("address", sa.String(100), nullable=False),
    sa.Column("way", sa.String(20), nullable=False),
    sqlite_autoincrement=True,
)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False, unique=True),
    _person(),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("last_four", sa.String(4), nullable=False),
    sa.Column("scopes", sa.String(100), nullable=False),  # separated by blanks
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires", sa.Float),
    sa.Column("last_used", sa.Float),
    sa.Column("revoked_at", sa.Float),
    sqlite_autoincrement=True,
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("person_id", sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("day", WHOLE, primary_key=True, index=True),  # in UTC, counted from 1970
    sa.Column("questions", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("documents", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
