"""Real server processes for tests."""

from __future__ import annotations

import itertools
import os
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.databases import database_settings

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0
STOP_SECONDS = 60.0


def eventually(condition: Callable[[], object], *, seconds: float = 60.0, what: str = "the condition") -> None:
    """Wait until `condition()` is true; fails the test when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:g} s"
        pause.wait(0.05)


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with no other settings of Millpond than `settings`, and without a locale."""
    others = ("MILLPOND_", "STREAMLIT_", "LC_", "LANG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {f"MILLPOND_{name.upper()}": str(value) for name, value in settings.items()}


@dataclass
class Server:
    """A running `millpond serve`: its process, address, output so far, and a client for it."""

    process: subprocess.Popen[str]
    data_dir: Path
    log: Path
    url: str = ""
    output: list[str] = field(default_factory=list)
    client: httpx.Client = field(default_factory=httpx.Client)
    trusted: ssl.SSLContext | None = None  # for clients of a server with TLS

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)

    def wait_ready(self) -> None:
        """Wait until every check is green."""
        eventually(lambda: _answers(self, "/readyz"), seconds=START_SECONDS, what="/readyz")

    def add(self, name: str, content: bytes, **fields: str) -> int:
        """Hand in one file and return its document's id."""
        answer = self.client.post("/api/documents", data=fields, files={"file": (name, content)})
        assert answer.status_code == 202, answer.text
        return int(answer.json()["documents"][0]["id"])

    def wait_finished(self, document_id: int, *, seconds: float = 120.0) -> dict[str, object]:
        """Wait until nothing more happens to a document by itself, and return it."""
        found: dict[str, object] = {}

        def finished() -> bool:
            found.update(self.client.get(f"/api/documents/{document_id}").raise_for_status().json())
            return found["status"] not in {"queued", "parsing", "embedding"}

        eventually(finished, seconds=seconds, what=f"the end of document {document_id}")
        return found


def spawn(
    data_dir: Path,
    *,
    cwd: Path | None = None,
    tree: Path = ROOT,
    arguments: tuple[str, ...] = (),
    module: str = "console",
    apart: bool = False,
    descriptors: int = 0,
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> Server:
    """Start a server on a free port; returns once it listens. Whoever calls this stops it.

    `tree`: where its source is, of this version or another one. `apart`: a Ctrl-C in the terminal does not reach it.
    `descriptors`: as many as it may have open, 0: as this process.
    `variables`: more of its environment.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}.log"
    settings = {**database_settings(data_dir), **settings}
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--data-dir", str(data_dir), *arguments]
    if descriptors:
        command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
    with log.open("a") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd or tree,
            env=environment(log_format="json", **settings) | {"PYTHONPATH": str(tree), **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=apart,
        )
    server = Server(process, data_dir, log)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(process, server.output, lines), daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while not server.url:
        try:
            line = lines.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            line = ""
        if line == "":
            process.kill()
            process.wait()
            raise AssertionError(f"no address was printed:\n{''.join(server.output)}\n{log.read_text()}")
        found = re.search(r"https?://\S+:\d+", line)
        server.url = found[0] if found else ""
    if settings.get("tls_cert"):
        server.trusted = ssl.create_default_context(cafile=str(settings["tls_cert"]))
    server.client = httpx.Client(base_url=server.url, timeout=60.0, trust_env=False, verify=server.trusted or True)
    eventually(lambda: _answers(server, "/healthz"), seconds=START_SECONDS, what="/healthz")
    return server


@contextmanager
def serving(
    data_dir: Path, *, cwd: Path = ROOT, module: str = "console", descriptors: int = 0, **settings: object
) -> Iterator[Server]:
    """Start a server, wait until it is ready, stop it in the end."""
    server = spawn(data_dir, cwd=cwd, module=module, descriptors=descriptors, **settings)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
        # Shown with a test that fails: a page tells a defect's reference alone.
        print(*(line for line in server.log.read_text().splitlines() if '"event": "defect"' in line), sep="\n")


def run(
    *arguments: str, cwd: Path | None = None, tree: Path = ROOT, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run the command line of a source tree to its end."""
    folder = dict(itertools.pairwise(arguments)).get("--data-dir", settings.get("data_dir"))
    if folder is not None:
        settings = {**database_settings(Path(str(folder))), **settings}
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        cwd=cwd or tree,
        env=environment(**settings) | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def _answers(server: Server, path: str) -> bool:
    try:
        return server.client.get(path).status_code == 200
    except httpx.TransportError:
        told = "".join(server.output)
        assert server.process.poll() is None, f"the server ended:\n{told}\n{server.log.read_text()[-3000:]}"
        return False


def _read(process: subprocess.Popen[str], output: list[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            output.append(line)
            lines.put(line)
    lines.put("")
