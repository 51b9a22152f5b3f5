"""A supervised console: planned restarts under load, crashes, crash loops, signals. Real processes throughout."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.servers import ROOT, Server, environment, eventually, run, spawn

SUPERVISED = ("--supervise",)
MOST_SUPERVISOR_BYTES = 24 * 2**20

# A stand-in for the console that takes milliseconds to start: it does what `serve` does towards its supervisor, says
# on standard output which start this is, and then does what the test wants.
STAND_IN = """
import os, signal, socket, sys, time
from console.cli.supervisor_link import LinkMessage, StartMode, SupervisorLink
link = SupervisorLink.from_environment()
print("started", link.mode, flush=True)
if link.mode is StartMode.FIRST:
    link.send_listener(socket.create_server(("127.0.0.1", 0)))
link.send(LinkMessage.READY)
"""
SUPERVISOR = """
import sys
from console.cli.supervisor import Supervisor
echo = lambda line: print(line, flush=True)
sys.exit(Supervisor([sys.executable, "-c", sys.argv[1]], echo, pauses=(0.0, 0.02, 0.02)).run())
"""


def holder(server: Server) -> int:
    """Return the process that holds the data folder, 0 for none."""
    try:
        return int(json.loads((server.data_dir / "millpond.lock").read_bytes())["pid"])
    except (OSError, ValueError):
        return 0


def changed(server: Server, old: int) -> None:
    """Wait until another process than `old` serves."""
    eventually(lambda: holder(server) not in {0, old}, seconds=180, what="another process")
    server.wait_ready()


def stand_in(then: str) -> subprocess.Popen[str]:
    """Start a supervisor over the stand-in, which ends with the code `then`."""
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, STAND_IN + then],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A supervised server; each test leaves one that is ready. In the end a SIGTERM stops it cleanly."""
    server = spawn(tmp_path_factory.mktemp("supervised") / "data", arguments=SUPERVISED)
    try:
        server.wait_ready()
        yield server
        ends_cleanly(server, signal.SIGTERM)
    finally:
        server.stop()


def ends_cleanly(server: Server, how: signal.Signals) -> None:
    """Send a signal to the supervisor: it reaches the console once, which saves everything; both end with code 0."""
    child, told = holder(server), len(server.output)
    assert server.stop(how) == 0
    assert not alive(child)
    eventually(lambda: any("everything is saved" in line for line in server.output[told:]), what="the last line")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 5).close()


class Load:
    """People who ask without a pause: with new connections and kept ones, short requests, searches and questions."""

    def __init__(self, server: Server) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self._url = server.url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        kept = httpx.Client(base_url=self._url, timeout=60.0, trust_env=False)
        question: dict[str, object] = {
            "model": "millpond",
            "messages": [{"role": "user", "content": "What is a seal?"}],
        }
        with kept:
            while not self._stop.wait(0.02):
                try:
                    if number == 0:
                        answer = httpx.get(f"{self._url}/api/status", timeout=60.0, trust_env=False)
                    elif number == 1:
                        answer = kept.get("/api/documents")
                    elif number == 2:
                        answer = kept.post("/api/search", json={"query": "seal"})
                    else:
                        answer = self._patiently(kept, question)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                self.answered += 1
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")

    def _patiently(self, client: httpx.Client, question: dict[str, object]) -> httpx.Response:
        """Ask, and where that is refused with Retry-After, once more after so long: new long work may be."""
        answer = client.post("/v1/chat/completions", json=question)
        if answer.status_code == 503 and "Retry-After" in answer.headers:
            self._stop.wait(float(answer.headers["Retry-After"]))
            answer = client.post("/v1/chat/completions", json=question)
        return answer


def test_nobody_notices_a_planned_restart(supervised: Server) -> None:
    """Under constant requests of every kind not one fails, another process serves afterwards, and nothing is lost."""
    document = supervised.add("seals.txt", b"A seal is a marine mammal. Seals are covered with fur.")
    assert supervised.wait_finished(document)["status"] == "ready"
    old = holder(supervised)
    with Load(supervised) as load:
        eventually(lambda: load.answered > 20, what="some answers")
        asked = httpx.post(f"{supervised.url}/api/restart", timeout=60.0, trust_env=False)
        assert asked.status_code == 202
        assert asked.json()["successor"]
        changed(supervised, old)
        before = load.answered
        eventually(lambda: load.answered > before + 20, what="answers of the next process")
    assert load.failures == []
    eventually(lambda: not alive(old), what="the end of the old process")
    assert supervised.client.get(f"/api/documents/{document}").json()["status"] == "ready"
    assert supervised.client.get("/api/budget").json()["restart"]["phase"] == "running"


def test_the_supervisor_is_small(supervised: Server) -> None:
    """What only waits must not cost what the console costs: an import of something heavy would show here."""
    status = Path(f"/proc/{supervised.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    assert int(found[1]) * 1024 < MOST_SUPERVISOR_BYTES


def test_a_crash_is_followed_by_a_new_process(supervised: Server) -> None:
    """Killed, it comes back at the same address, and who connects meanwhile waits instead of being refused."""
    old = holder(supervised)
    os.kill(old, signal.SIGKILL)
    eventually(lambda: not alive(old), what="the end of the process")
    answer = httpx.get(f"{supervised.url}/api/status", timeout=60.0, trust_env=False)
    assert answer.status_code == 200
    assert answer.json()["ready"]
    assert holder(supervised) != old
    assert any("SIGKILL" in line for line in supervised.output)


def test_a_ctrl_c_ends_both_cleanly(tmp_path: Path) -> None:
    """SIGINT to the supervisor does what SIGTERM does to the server of this module in the end."""
    server = spawn(tmp_path / "data", arguments=SUPERVISED)
    server.wait_ready()
    ends_cleanly(server, signal.SIGINT)


def test_a_console_whose_supervisor_was_killed_ends(tmp_path: Path) -> None:
    """Left alone it gives the data folder back by a clean end, so that the next start finds it free."""
    server = spawn(tmp_path / "data", arguments=SUPERVISED)
    server.wait_ready()
    child = holder(server)
    server.stop(signal.SIGKILL)
    eventually(lambda: not alive(child), what="the end of the console")
    assert holder(server) == 0, "".join(server.output)  # a forced end tells what the threads did


def test_an_upload_under_way_ends_in_peace(supervised: Server) -> None:
    """An upload that has begun when a restart is asked for is taken in whole, however slowly it arrives."""
    old = holder(supervised)
    sent = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="slow.txt"\r\n\r\n'
        for number in range(20):
            yield f"line {number} of a file that arrives slowly\n".encode() * 20
            sent.set()
            time.sleep(0.1)
        yield b"\r\n--edge--\r\n"

    def asked() -> None:
        sent.wait()
        httpx.post(f"{supervised.url}/api/restart", timeout=60.0, trust_env=False).raise_for_status()

    asking = threading.Thread(target=asked)
    asking.start()
    answer = supervised.client.post(
        "/api/documents", content=slowly(), headers={"Content-Type": "multipart/form-data; boundary=edge"}
    )
    asking.join()
    assert answer.status_code == 202, answer.text
    changed(supervised, old)
    taken = int(answer.json()["documents"][0]["id"])
    assert supervised.wait_finished(taken)["status"] == "ready"


def test_a_crash_loop_is_given_up() -> None:
    """A console that always crashes is started a few times with pauses, then the supervisor says so and ends."""
    with stand_in("sys.exit(3)") as process:
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert re.findall(r"^started (\w+)$", output, re.MULTILINE) == ["first", "next", "next", "next"]
    assert "not started again" in output


def test_a_planned_restart_is_no_crash(tmp_path: Path) -> None:
    """Exit code 75 is followed at once, however often, by a process that gets the same listening socket."""
    ports = tmp_path / "ports"
    then = (
        f"ports = open({str(ports)!r}, 'a+')\n"
        "print(link.listener.getsockname()[1] if link.listener else 'first', file=ports, flush=True)\n"
        "ports.seek(0)\n"
        "sys.exit(75 if len(ports.readlines()) < 9 else 0)"
    )
    with stand_in(then) as process:
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 0
    first, *later = ports.read_text().split()
    assert first == "first"
    assert len(later) == 8
    assert len(set(later)) == 1
    assert "unexpectedly" not in output


def test_what_cannot_start_is_not_started_again() -> None:
    """A wrong setting is told once, with its hint, and is the end: trying again would change nothing."""
    done = run("serve", "--supervise", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "--insecure" in done.stderr
    assert "started again" not in done.stdout
