"""A Redis server of the tests' own, at a free port of this machine; what it holds is gone when it stops."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy.tools import tool
from tests.front.fronts import free_ports
from tests.server_process import ServerProcess
from tests.servers import eventually

if TYPE_CHECKING:
    from redis import Redis

PASSWORD = "a password of the tests alone"  # has blanks: an address quotes them


class RedisServer(ServerProcess):
    """A server over a folder; it can be stopped, held up, and started again at the same place, empty."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        (self.port,) = free_ports(1)

    @property
    def socket(self) -> Path:
        """Where tests reach it without the port, as an administrator does."""
        return self._folder / "redis.sock"

    @property
    def url(self) -> str:
        """Its address, as `MILLPOND_CACHE_URL` takes it."""
        return f"redis://:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, unless it runs; returns when it answers."""
        if self._process is not None:
            return
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "dir": str(self._folder),
            "requirepass": f'"{PASSWORD}"',
            "save": '""',  # nothing is written to disk
            "appendonly": "no",
            "daemonize": "no",
        }
        configuration = self._folder / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [tool("redis-server"), configuration, *self._options], stdout=log, stderr=log
            )
        eventually(self._answers, what="the Redis server")

    def client(self) -> Redis:
        """Return a client by which tests look at what it holds, and change it; whoever asks closes it."""
        from redis import Redis

        return Redis(unix_socket_path=str(self.socket), password=PASSWORD, socket_timeout=10.0)

    def _answers(self) -> bool:
        from redis.exceptions import RedisError

        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Start one over an empty folder; `options` are those of `redis-server`, as `--maxmemory 10mb`."""
    folder = Path(tempfile.mkdtemp(prefix="millpond-redis-"))
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
