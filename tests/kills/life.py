"""One life of a real server, from its start to its kill, and what must be gone after it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import httpx

from services.operations.data_lock import DataLock
from tests.consoles.killed import ORDERS_VARIABLE, POINT_VARIABLE
from tests.kills.points import MARK_VARIABLE
from tests.servers import ROOT, START_SECONDS, environment, eventually

IDLE_SECONDS = 120.0
GONE_SECONDS = 60.0  # for what a killed server leaves running: its children see that it is gone


class OrderError(Exception):
    """The server could not do what it was ordered to; the text begins with the kind of the error."""


class Process(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int: ...

    def ended(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs."""


class OwnProcess:
    """A process started by Python's own means: interpreter, imports and model are its own."""

    def __init__(self, command: list[str], variables: dict[str, str], output: Path, errors: Path) -> None:
        with output.open("a") as out, errors.open("a") as err:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        return self._process.poll()


class Starter(Protocol):
    """Starts `python -m tests.consoles.killed` with arguments."""

    def __call__(self, arguments: list[str], variables: dict[str, str], output: Path, errors: Path) -> Process: ...


def start_process(arguments: list[str], variables: dict[str, str], output: Path, errors: Path) -> Process:
    """Start a fresh interpreter."""
    return OwnProcess([sys.executable, "-m", "tests.consoles.killed", *arguments], variables, output, errors)


class Life:
    """A server over `folder`, which is killed at `point` if one is named. Closing kills what is left of it."""

    def __init__(
        self,
        folder: Path,
        *,
        point: str = "",
        supervise: bool = False,
        start: Starter = start_process,
        **settings: object,
    ) -> None:
        self.folder = folder
        self.supervise = supervise
        self._errors = folder.with_suffix(".log")
        self._output = folder.with_suffix(".out")
        self._orders = folder.with_suffix(".orders")
        mark = folder.with_suffix(".mark")
        mark.unlink(missing_ok=True)
        self._output.write_text("")
        variables = environment(log_format="json", snapshot_seconds=0.5, **settings) | {
            "PYTHONPATH": str(ROOT),
            ORDERS_VARIABLE: str(self._orders),
            MARK_VARIABLE: str(mark),
            POINT_VARIABLE: point,
        }
        arguments = ["serve", "--port", "0", "--data-dir", str(folder), *(["--supervise"] if supervise else [])]
        self.process = start(arguments, variables, self._output, self._errors)
        self.url = ""
        self.client = httpx.Client(trust_env=False)

    # Starting

    def wait_listening(self) -> None:
        """Wait for the address."""

        def listening() -> bool:
            found = re.search(r"http://\S+:\d+", self._output.read_text())
            self.url = found[0] if found else ""
            return bool(self.url) or not self.running()

        eventually(listening, seconds=START_SECONDS, what="an address")
        assert self.url, self.told()
        self.client = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)

    def wait_ready(self) -> None:
        """Wait until it serves."""
        self.wait_listening()

        def ready() -> bool:
            assert self.running(), self.told()
            with suppress(httpx.TransportError):
                answer = self.client.get("/api/status")
                return answer.status_code == 200 and answer.json()["ready"]
            return False

        eventually(ready, seconds=START_SECONDS, what="a server that is ready")

    def told(self) -> str:
        """Return what it said last."""
        return f"it ended by itself: {self._output.read_text()[-1500:]}\n{self._errors.read_text()[-4000:]}"

    # Orders

    def server_pid(self) -> int:
        """Return the process that holds the data folder, 0 for none."""
        holder = DataLock(self.folder).holder()
        return 0 if holder is None else holder.pid

    def order(self, **order: Any) -> Any:
        """Have the serving process do something; raises OSError when it is killed over it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(f"{self._orders}.{self.server_pid()}")
            connection.sendall(json.dumps(order).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("killed over an order")
        answer = json.loads(line)
        if "error" in answer:
            raise OrderError(answer["error"])
        return answer["result"]

    def wait_idle(self) -> None:
        """Wait until nothing is being taken in."""

        def idle() -> bool:
            return not self.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"]

        eventually(idle, seconds=IDLE_SECONDS, what="an empty queue")

    # The end

    def running(self) -> bool:
        return self.process.ended() is None

    def kill(self) -> None:
        """Kill everything that belongs to the server at once: the process, its supervisor, a successor."""
        if self.supervise:
            for pid in self._family():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.signal_kill()
        self.wait_killed()

    def signal_kill(self) -> None:
        """Kill the process itself, and wait for nothing."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)

    def wait_killed(self) -> None:
        """Wait until it was killed and nothing of it is left: no process, no lock, and the port is free."""
        eventually(lambda: not self.running(), seconds=60, what="the kill")
        code = self.process.ended()
        assert code == -signal.SIGKILL, f"{code}: {self.told()}"
        eventually(lambda: not self._family(), seconds=GONE_SECONDS, what=f"the end of {self._family()}")
        # A process counts as ended when its main thread has; its files are closed when the last one has.
        eventually(lambda: DataLock(self.folder).holder() is None, seconds=GONE_SECONDS, what="a free data folder")
        if self.url:
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", int(self.url.rpartition(":")[2])))
        self._forget()

    def stop(self) -> None:
        """End it in order."""
        if self.running():
            os.kill(self.process.pid, signal.SIGTERM)
        eventually(lambda: not self.running(), seconds=60, what="an orderly end")
        self._forget()

    def close(self) -> None:
        """Leave nothing running, however a test went."""
        for pid in {*self._family(), *([self.process.pid] if self.running() else [])}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.running(), seconds=60, what="the end")
        self._forget()

    def _forget(self) -> None:
        self.client.close()
        for path in self.folder.parent.glob(f"{self._orders.name}.*"):
            path.unlink(missing_ok=True)

    def processes(self, name: str) -> list[int]:
        """Return those of its processes that have `name` in their command line."""
        found = []
        for pid in self._family():
            with suppress(OSError):
                if name in Path(f"/proc/{pid}/cmdline").read_text():
                    found.append(pid)
        return found

    def _family(self) -> list[int]:
        """Return the living processes of its session: it began one, and its children stay in it."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                        found.append(int(entry.name))
        return found


def pause(seconds: float) -> None:
    """Let the server go on for a while: the moment of a random kill is a time."""
    time.sleep(seconds)
