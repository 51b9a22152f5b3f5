"""Servers that start fast: copies of a process that has imported everything and read the model, and does nothing.

Each copy is a real server, with threads, child processes, folder and port of its own. What it skips is what a fresh
interpreter does before it opens the data folder: imports, and reading the weights.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.servers import ROOT, START_SECONDS, environment, eventually

# What a server imports at its start, or with its first request, beyond what these import.
MODULES = (
    "console.asgi",
    "console.cli.serve",
    "console.cli.server",
    "pandas",
    "services.app.phases",
    "services.app.startup",
    "services.chat.answer_service",
    "services.chat.conversations",
    "services.chat.models",
    "services.knowledge.document_import",
    "services.knowledge.index",
    "services.knowledge.ingestion",
    "services.knowledge.library",
    "services.knowledge.parsing.pool",
    "services.knowledge.retrieval",
    "services.knowledge.store",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)


class NurseryProcess:
    """A server that the nursery has started."""

    def __init__(self, nursery: Nursery, number: int) -> None:
        self._nursery = nursery
        self._number = number

    @property
    def pid(self) -> int:
        return self._nursery.pids[self._number]

    def ended(self) -> int | None:
        return self._nursery.codes.get(self._number)


class Nursery:
    """The process that servers are copied from."""

    def __init__(self) -> None:
        self.pids: dict[int, int] = {}
        self.codes: dict[int, int] = {}
        self._numbers = 0
        self._lock = threading.Lock()
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # none may run while it is copied
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.nursery"],
            cwd=ROOT,
            env=environment() | threads | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __call__(self, arguments: list[str], variables: dict[str, str], output: Path, errors: Path) -> NurseryProcess:
        """Start a server."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
            order = {
                "number": number,
                "arguments": arguments,
                "variables": variables,
                "output": str(output),
                "errors": str(errors),
            }
            assert self._process.stdin
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

        def copied() -> bool:
            assert self._process.poll() is None, "the nursery ended"
            return number in self.pids

        eventually(copied, seconds=START_SECONDS, what="a copy")
        return NurseryProcess(self, number)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(START_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                told = json.loads(line)
                into = self.pids if "pid" in told else self.codes
                into[told["number"]] = told.get("pid", told.get("code"))


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Run a nursery."""
    opened = Nursery()
    try:
        yield opened
    finally:
        opened.close()


def _prepare() -> None:
    """Import what a server imports, and read the model, without starting a thread."""
    for name in MODULES:
        import_module(name)
    from streamlit.components.v2 import manifest_scanner

    from services.app import build_documents
    from services.core.settings import Settings

    loaded = build_documents.load_embedder(Settings(), ExitStack())
    build_documents.load_embedder = lambda _settings, _closing: loaded
    # Reads the metadata of every installed package: half a second for each copy, and none is a component.
    manifest_scanner.scan_component_manifests = lambda *_arguments, **_keywords: []
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    # jemalloc, which pyarrow brings, starts its own again in a copy.
    assert len([name for name in names if name != "jemalloc_bg_thd"]) == 1, f"not copied: {names}"


def _run(order: dict[str, Any]) -> None:
    """Become a server, in a copy of the nursery."""
    os.setsid()
    for path, descriptor in ((os.devnull, 0), (order["output"], 1), (order["errors"], 2)):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["variables"])
    sys.argv = ["millpond", *order["arguments"]]
    from tests.consoles import killed

    killed.main()


def main() -> None:
    """Copy this process for each line on standard input, until that ends and the last copy has."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is logged shall not pass for an answer
    _prepare()
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    numbers: dict[int, int] = {}
    received = b""
    more = True
    while more or numbers:
        ready, _writable, _failed = select.select([wake, *([0] if more else [])], [], [])
        if wake in ready:
            os.read(wake, 4096)
        for number, code in _ended(numbers):
            print(json.dumps({"number": number, "code": code}), file=answers, flush=True)
        if 0 in ready:
            data = os.read(0, 2**20)
            more = bool(data)
            *lines, received = (received + data).split(b"\n")
            for order in map(json.loads, lines):
                pid = _copy(order, (wake, waker, answers.fileno()))
                numbers[pid] = order["number"]
                print(json.dumps({"number": order["number"], "pid": pid}), file=answers, flush=True)


def _ended(numbers: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield (number, exit code) of the copies that have ended."""
    while numbers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        yield numbers.pop(pid), os.waitstatus_to_exitcode(status)


def _copy(order: dict[str, Any], own: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code: object = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in own:
            os.close(descriptor)
        _run(order)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - nothing of the nursery's own may run here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    import_module("tests.kills.nursery").main()
