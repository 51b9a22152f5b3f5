"""Which database tests run over: SQLite in a folder, or a schema of its own on a PostgreSQL server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.postgres_server import postgres_server


class Engine(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class _Chosen:
    """What the tests of this process use, and the server that they share once one is needed."""

    engine = Engine(os.environ.get("MILLPOND_TEST_DATABASE", Engine.SQLITE))
    server = ""


_closing = ExitStack()


@contextmanager
def engine_in_use(engine: Engine) -> Iterator[None]:
    """Have `database_url` name databases of one engine."""
    before, _Chosen.engine = _Chosen.engine, engine
    try:
        yield
    finally:
        _Chosen.engine = before


@pytest.fixture(scope="module", autouse=True, params=list(Engine))
def both_engines(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Run every test of a folder that imports this over each engine."""
    with engine_in_use(request.param):
        yield request.param


def database_url(folder: Path) -> str:
    """Return the URL of the database that belongs to a folder; the same folder has the same one again."""
    if _Chosen.engine is Engine.SQLITE:
        return f"sqlite:///{folder / 'millpond.db'}"
    if not _Chosen.server:
        _Chosen.server = _closing.enter_context(postgres_server()).url
    schema = f"pond_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    engine = sa.create_engine(_Chosen.server, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{_Chosen.server}&options=-csearch_path%3D{schema}"


def database_settings(folder: Path) -> dict[str, str]:
    """Return what a service over that folder is told of its database; nothing where it has its own."""
    return {} if _Chosen.engine is Engine.SQLITE else {"database_url": database_url(folder)}


def stop_server() -> None:
    """Stop the server, where one was needed."""
    _Chosen.server = ""
    _closing.close()
