"""The column of a text that is told to people: kept with what it was made of, read in the language of the reader."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from services.core.kept_text import kept, read_kept


class KeptText(TypeDecorator[str]):
    """A `Text` column for messages of `services.core.i18n`; plain strings in it are kept as they are."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else kept(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else read_kept(value)
