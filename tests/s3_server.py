"""An S3 server (SeaweedFS) of the tests' own, started once for a process that needs one; each test has a prefix."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.server_process import ServerProcess
from tests.servers import eventually

BUCKET = "ponds"
KEY, SECRET = "millpond-tests", "a secret of the tests alone"
_SERVERS = ("master", "volume", "filer", "s3")
_GRPC = 10_000  # SeaweedFS takes a second port so much above each
_numbers = itertools.count(1)


class S3Server(ServerProcess):
    """A server over a folder; it can be stopped, held up, and started again with the same content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(_SERVERS, _free_ports(len(_SERVERS)), strict=True))
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": rights}
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3']}"

    def settings(self, prefix: str = "") -> dict[str, str]:
        """Return what a service is told that keeps its originals here, below a prefix of its own."""
        prefix = prefix or f"pond-{os.getpid()}-{next(_numbers)}"
        return {
            "files_url": f"s3://{BUCKET}/{prefix}?endpoint={self.endpoint}&region=us-east-1",
            "files_access_key": KEY,
            "files_secret_key": SECRET,
            "files_seconds": "4",
        }

    def start(self) -> None:
        """Start it, unless it runs; returns when objects can be stored."""
        if self._process is not None:
            return
        options = [f"-{name}.port={port}" for name, port in self._ports.items()]
        options += [f"-{name}.port.grpc={port + _GRPC}" for name, port in self._ports.items()]
        options += [f"-{name}.localSocket={self._folder}/{name}.sock" for name in ("filer", "s3")]
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        others = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(Path(sys.executable).parent / "weed", "-logtostderr", "server", f"-dir={data}", "-s3"),
                    *(
                        "-ip=127.0.0.1",
                        "-ip.bind=127.0.0.1",
                        "-master.telemetry=false",
                        "-master.volumeSizeLimitMB=64",
                        "-master.electionTimeout=1s",
                    ),
                    *("-volume.max=100", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
                    f"-s3.config={self._folder}/identities.json",
                    *options,
                ],
                env={name: value for name, value in os.environ.items() if name.lower() not in others},
                stdout=log,
                stderr=log,
            )
        eventually(self._writable, what="the S3 server")

    def _writable(self) -> bool:
        from obstore.exceptions import BaseError

        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
        try:
            httpx.get(self.endpoint, trust_env=False, timeout=1)
            objects(self.settings("ready")).put("probe", b"some bytes, for which it has to find a place")
        except (httpx.HTTPError, BaseError, FileNotFoundError):
            return False
        return True


class _Shared:
    server: S3Server | None = None


_closing = ExitStack()


def s3_server() -> S3Server:
    """Return the server of this process, started when it is asked for first."""
    if _Shared.server is None:
        folder = Path(tempfile.mkdtemp(prefix="millpond-s3-"))
        _closing.callback(shutil.rmtree, folder, ignore_errors=True)
        _Shared.server = S3Server(folder)
        _closing.callback(_Shared.server.stop)
        _Shared.server.start()
    return _Shared.server


def stop_s3_server() -> None:
    """Stop the server, where one was needed."""
    _Shared.server = None
    _closing.close()


def objects(settings: dict[str, str]):  # type: ignore[no-untyped-def]
    """Return what settings name, to be looked into and changed from outside."""
    from obstore.store import S3Store

    from services.core.storage_settings import S3Location

    place = S3Location.of(settings["files_url"])
    return S3Store(
        place.bucket,
        prefix=place.prefix,
        endpoint=place.endpoint,
        region=place.region,
        access_key_id=KEY,
        secret_access_key=SECRET,
        client_options={"allow_http": True, "timeout": "5s"},
        retry_config={"max_retries": 0},
    )


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now, and the ones above them, too; below those that the system hands out."""
    found: list[int] = []
    free: Callable[[int], bool] = lambda port: _is_free(port) and _is_free(port + _GRPC)  # noqa: E731
    while len(found) < count:
        port = random.randrange(12_000, 22_000)
        if port not in found and free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
