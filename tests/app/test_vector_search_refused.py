"""Where PostgreSQL is to search vectors and cannot, a start says why and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.postgres_server import postgres_server
from tests.servers import ROOT, run


def refused(data_dir: Path, **settings: object) -> str:
    """Return what a start says that is refused."""
    ended = run("serve", "--port", "0", data_dir=data_dir, vector_search="database", **settings)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


def test_sqlite_searches_no_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLPOND_TEST_DATABASE", raising=False)
    told = refused(tmp_path / "data", database_url="")
    assert "needs PostgreSQL, and this pond is in SQLite" in told
    assert "docs/postgresql.md" in told


def test_a_server_without_pgvector_is_named(tmp_path: Path) -> None:
    """It would fail with the first document, or search nothing."""
    with postgres_server("extension_control_path=/nowhere") as postgres:
        told = refused(tmp_path / "data", database_url=postgres.url)
    assert "needs the extension pgvector, which this PostgreSQL server lacks" in told
    assert "Install pgvector 0.8" in told


def test_who_may_not_install_it_is_told_what_to_ask_for(tmp_path: Path) -> None:
    """And once an administrator has installed it, in whichever schema, the same account starts."""
    with postgres_server() as postgres:
        engine = sa.create_engine(postgres.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE weak LOGIN")
            connection.exec_driver_sql("CREATE SCHEMA pond AUTHORIZATION weak")
        weak = postgres.url.replace("//millpond@", "//weak@") + "&options=-csearch_path%3Dpond"
        told = refused(tmp_path / "data", database_url=weak)
        assert "this account may not do it" in told
        assert "CREATE EXTENSION vector;" in told
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA elsewhere")
            connection.exec_driver_sql("CREATE EXTENSION vector WITH SCHEMA elsewhere")
            connection.exec_driver_sql("GRANT USAGE ON SCHEMA elsewhere TO weak")
        (tmp_path / "eels.txt").write_text("The heron of the mill pond eats eels at the weir in the night.")
        settings = {"data_dir": tmp_path / "data", "database_url": weak, "vector_search": "database"}
        ingested = run("ingest", str(tmp_path / "eels.txt"), **settings)
        assert ingested.returncode == 0, ingested.stderr
        asked = run("ask", "What does the heron eat?", **settings)
        assert "eels" in asked.stdout, asked.stdout + asked.stderr


def test_who_does_not_use_it_does_not_import_it(tmp_path: Path) -> None:
    """A process that is alone over SQLite pays nothing for it; one whose database searches has no FAISS."""
    code = """
import sys
from pathlib import Path
from services.app.startup import Application
from services.core.settings import Settings
with Application(Settings(data_dir=Path(sys.argv[1]))):
    here = [name for name in sys.modules if "pgvector" in name or "search_table" in name or "vector_search" in name]
    print(here, "faiss" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert completed.stdout.splitlines()[-1] == "[] True"
