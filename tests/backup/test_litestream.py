"""Litestream beside a real server on SQLite: what is in the bucket when the server and its data folder are gone."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.core.database import Database, replicated_log
from tests.s3_server import BUCKET, KEY, SECRET, s3_server
from tests.servers import ROOT, eventually, serving, spawn

PROGRAM = Path(sys.executable).parent / "litestream"
CONFIGURATION = ROOT / "deploy" / "litestream" / "litestream.yml"
SECONDS = 5.0  # what is older than this is in the bucket


def variables(data_dir: Path) -> dict[str, str]:
    """Return the environment of Litestream, without what this machine sets for clients of other servers."""
    others = ("aws_", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(others)}
    return kept | {
        "MILLPOND_DATA_DIR": str(data_dir),
        "LITESTREAM_BUCKET": BUCKET,
        "LITESTREAM_ENDPOINT": s3_server().endpoint,
        "LITESTREAM_REGION": "us-east-1",
        "LITESTREAM_ACCESS_KEY_ID": KEY,
        "LITESTREAM_SECRET_ACCESS_KEY": SECRET,
    }


@contextmanager
def replicating(data_dir: Path, configuration: Path, log: Path) -> Iterator[None]:
    """Have Litestream at work; it is killed in the end, as the machine is lost."""
    with log.open("wb") as output:
        command = [PROGRAM, "replicate", "-config", configuration]
        process = subprocess.Popen(command, env=variables(data_dir), stdout=output, stderr=output)
    try:
        eventually(lambda: "snapshot complete" in log.read_text(), what="the first whole copy in the bucket")
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def restore(data_dir: Path, configuration: Path, target: Path) -> None:
    """Restore the newest state of a database that was in a data folder."""
    target.parent.mkdir(mode=0o700)
    command = [PROGRAM, "restore", "-config", configuration, "-o", target, data_dir / "millpond.db"]
    done = subprocess.run(command, env=variables(data_dir), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pond_comes_back_from_the_bucket(tmp_path: Path) -> None:
    """What was acknowledged some seconds before the machine was lost would be lost, or the copy could not be opened."""
    data, log = tmp_path / "data", tmp_path / "litestream.log"
    configuration = tmp_path / "litestream.yml"
    # With a place of its own, and checkpoints again and again, as there are in hours of work.
    text = CONFIGURATION.read_text().replace("path: millpond.db", f"path: {tmp_path.name}")
    configuration.write_text(text.replace("checkpoint-interval: 1m", "checkpoint-interval: 1s"))
    settings = {"database_replicated": "true", **s3_server().settings()}
    server = spawn(data, **settings)
    try:
        server.wait_ready()
        acknowledged: dict[int, float] = {}
        with replicating(data, configuration, log):
            first = server.add("pump.txt", b"Pump seals are covered for 12 months.")
            server.wait_finished(first)
            begun, count = time.monotonic(), 0
            while time.monotonic() < begun + 4 * SECONDS:
                count += 1
                text = f"Sluice {count} is open. " * 50
                acknowledged[server.add(f"report {count}.txt", text.encode())] = time.monotonic()
                if count % 5 == 0:
                    server.client.delete(f"/api/documents/{(gone := min(acknowledged))}").raise_for_status()
                    del acknowledged[gone]
                server.client.post("/api/search", json={"query": "pump seals"}).raise_for_status()
            checks = server.client.get("/readyz").json()["checks"]
            assert checks["database"] == {"ok": True, "detail": "sound", "warning": False}
            killed = time.monotonic()
            server.stop(signal.SIGKILL)
    finally:
        server.stop(signal.SIGKILL)
    shutil.rmtree(data)
    again = tmp_path / "again"
    restore(data, configuration, again / "millpond.db")
    with closing(sqlite3.connect(again / "millpond.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with serving(again, **settings) as restored:
        found = restored.client.get("/api/documents", params={"limit": 1000}).raise_for_status().json()["documents"]
        older = {number for number, at in acknowledged.items() if at < killed - SECONDS}
        assert len(older) > 2
        assert older | {first} <= {each["id"] for each in found}
        for each in found[-5:]:
            original = restored.client.get(f"/api/documents/{each['id']}/original").raise_for_status()
            assert hashlib.sha256(original.content).hexdigest() == each["sha256"]
        hits = restored.client.post("/api/search", json={"query": "How long are pump seals covered?"}).json()["hits"]
        assert hits[0]["document"] == "pump.txt"
        assert restored.client.get("/readyz").json()["checks"]["database"]["ok"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'some.db'}", checked=True, replicated=True)) as database:
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE notes (text TEXT)")
        yield database


def write(database: Database, count: int) -> int:
    """Write that many times 40 KB; return how long the log is then."""
    for _number in range(count):
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO notes VALUES (?)", ("x" * 40_000,))
    assert database.path is not None
    return database.path.with_name("some.db-wal").stat().st_size


def test_a_log_that_is_copied_is_left_alone(database: Database) -> None:
    """The log would begin anew before it was copied, and pages change without their checksums: false damage."""
    assert database.path is not None
    before = database.path.stat().st_size
    assert write(database, 150) > 6_000_000
    assert database.empty_log()
    assert database.path.stat().st_size == before
    assert not database.path.with_name("some.db-sums").exists()


def test_a_log_that_nobody_copies_does_not_fill_the_disk(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Litestream that has ended would have the log grow for ever."""
    monkeypatch.setattr(replicated_log, "LONG_BYTES", 1_000_000)
    assert database._backend._replicated is not None  # type: ignore[attr-defined]
    database._backend._replicated._next = 1_000_000  # type: ignore[attr-defined]
    assert write(database, 200) < 3_000_000
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM notes").scalar() == 200


def test_a_folder_goes_on_with_checksums_when_litestream_is_given_up(database: Database) -> None:
    """Checksums from before would call every page that Litestream has moved damaged."""
    assert database.path is not None
    write(database, 5)
    database.close()
    with closing(Database(f"sqlite:///{database.path}", checked=True)) as checked:
        write(checked, 5)
        checked.check_some(1000)
        assert checked.damage is None
    with closing(Database(f"sqlite:///{database.path}", checked=True, replicated=True)) as again:
        write(again, 5)
    with closing(Database(f"sqlite:///{database.path}", checked=True)) as checked:
        checked.check_some(1000)
        assert checked.damage is None
