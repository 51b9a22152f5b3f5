from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.provide_programs import PATH, PROGRAMS
from tests.servers import ROOT, eventually

DEPLOY = ROOT / "deploy"


def tool(name: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed; install it with: apt-get install {PROGRAMS[name]}")
    return found


def promtool(*arguments: str, stdin: bytes = b"", cwd: Path = DEPLOY / "prometheus") -> str:
    """Run promtool; fails the test with its output unless it ends well. Returns what it said."""
    done = subprocess.run(
        [tool("promtool"), *arguments], input=stdin, capture_output=True, cwd=cwd, check=False, timeout=60
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@contextmanager
def prometheus(config: Path, data: Path) -> Iterator[str]:
    """A running Prometheus on a free port; yields its address."""
    process = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=info",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    said: list[str] = []
    address: list[str] = []
    known = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                said.append(line)
                found = re.search(r'msg="Listening on" address=(\S+)', line)
                if found:
                    address.append(found[1])
                    known.set()
        known.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert known.wait(60)
        assert address, "".join(said[-20:])
        yield f"http://{address[0]}"
    finally:
        process.terminate()
        process.wait(30)
        reader.join(30)


@contextmanager
def nginx(
    folder: Path,
    upstream: str,
    changes: Mapping[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """A running nginx with the configuration of `deploy` in front of a console at `upstream`; yields its address.

    `changes`: what stands there, and what instead, so that a test need not wait. `tls`: a certificate and its key.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = (DEPLOY / "nginx" / "millpond.conf").read_text()
    assert "listen 80;" in site
    assert "http://127.0.0.1:8501" in site
    listen = f"listen 127.0.0.1:{port};"
    if tls is not None:
        listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};"
    site = site.replace("listen 80;", listen).replace("http://127.0.0.1:8501", upstream)
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    for old, new in (changes or {}).items():
        assert old in site
        site = site.replace(old, new)
    places = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{site}\n}}\n"
    )
    log = folder / "nginx.log"
    with log.open("w") as errors:
        process = subprocess.Popen([tool("nginx"), "-p", str(folder), "-c", str(configuration)], stderr=errors)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(listens, what="nginx")
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
