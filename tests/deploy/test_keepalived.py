"""keepalived's file, taken by keepalived, and run on two machines that are network namespaces of this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY, tool
from tests.front.fronts import changed
from tests.servers import eventually

CONFIG = DEPLOY / "keepalived" / "keepalived.conf"
SHARED = "10.0.0.10"
MACHINES = {"a": "10.0.0.5", "b": "10.0.0.6"}


def checked(folder: Path, changes: dict[str, str]) -> str:
    """Return what keepalived says of the file with changes; "": it takes it."""
    network = next((each.name for each in Path("/sys/class/net").iterdir() if each.name != "lo"), None)
    if network is None:
        pytest.skip("there is no network but loopback, which keepalived refuses")
    config = folder / "keepalived.conf"
    config.write_text(changed(CONFIG.read_text(), {"eth0": network, **changes}))
    command = [tool("keepalived"), "--config-test", "--use-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Where a file has a check, 2.2.7 ends itself with SIGTERM after it has said what is wrong, if anything.
    assert done.returncode in {0, -signal.SIGTERM} or done.stderr, done
    return done.stderr


def test_keepalived_takes_the_file(tmp_path: Path) -> None:
    """A mistake in it would be found out when the address is needed."""
    assert checked(tmp_path, {}) == ""
    assert "priorty" in checked(tmp_path, {"priority 100": "priorty 100"})


class Machine:
    """A network namespace with HAProxy's answer for keepalived, and keepalived, joined to the other one by a cable."""

    def __init__(self, name: str, folder: Path, closing: ExitStack) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._closing = closing
        self._space = self._start("unshare", "--net", "sleep", "infinity")
        self.alive = self._folder / "web" / "alive"
        self.alive.parent.mkdir()
        self.alive.touch()
        self.keepalived: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        return self._space.pid

    def serve(self, own: str, other: str) -> None:
        """Bring the network up, and start what runs there."""
        for arguments in (["link", "set", "lo", "up"], ["addr", "add", f"{own}/24", "dev", "eth0"]):
            self.ip(*arguments)
        self.ip("link", "set", "eth0", "up")
        web = [sys.executable, "-m", "http.server", "8404", "--bind", "127.0.0.1", "-d", str(self.alive.parent)]
        self._start(*self._inside, *web)
        config = self._folder / "keepalived.conf"
        addresses = {"unicast_src_ip 10.0.0.5": f"unicast_src_ip {own}", "        10.0.0.6\n": f"        {other}\n"}
        config.write_text(changed(CONFIG.read_text(), addresses))
        pids = [f"--{name}={self._folder}/{name}" for name in ("pid", "vrrp_pid", "checkers_pid")]
        command = [tool("keepalived"), "--dont-fork", "--log-console", "--vrrp", f"--use-file={config}", *pids]
        self.keepalived = self._start(*self._inside, *command)

    def ip(self, *arguments: str) -> str:
        done = subprocess.run([*self._inside, "ip", *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    def has_address(self) -> bool:
        return f" {SHARED}/" in self.ip("-o", "addr", "show", "dev", "eth0")

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self._space.pid}", "--net"]

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)

        def end() -> None:
            process.terminate()
            process.wait(20)

        self._closing.callback(end)
        return process


@contextmanager
def machines(folder: Path) -> Iterator[dict[str, Machine]]:
    with ExitStack() as closing:
        a, b = (Machine(name, folder, closing) for name in MACHINES)
        cable = ["ip", "link", "add", "eth0", "netns", str(a.process_id), "type", "veth"]
        cable += ["peer", "name", "eth0", "netns", str(b.process_id)]
        own = Path("/proc/self/ns/net").readlink()
        eventually(
            lambda: all(Path(f"/proc/{each.process_id}/ns/net").readlink() != own for each in (a, b)),
            what="the namespaces",
        )
        subprocess.run(cable, check=True)
        a.serve(MACHINES["a"], MACHINES["b"])
        b.serve(MACHINES["b"], MACHINES["a"])
        yield {"a": a, "b": b}


def may_make_networks() -> bool:
    if os.geteuid() != 0 or not all(shutil.which(each) for each in ("unshare", "nsenter", "ip", "curl")):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_make_networks(), reason="network namespaces cannot be made here")
def test_the_address_goes_to_the_machine_that_serves(tmp_path: Path) -> None:
    """HAProxy of one machine sees no node any more; later keepalived of the other one dies. Each time the address would
    stay where nobody answers."""
    tool("keepalived")
    with machines(tmp_path) as found:

        def holder() -> set[str]:
            return {name for name, machine in found.items() if machine.has_address()}

        eventually(lambda: len(holder()) == 1, seconds=20.0, what="one machine with the address")
        (first,) = holder()
        (second,) = {*found} - {first}
        found[first].alive.unlink()
        eventually(lambda: holder() == {second}, seconds=20.0, what="the address on the other machine")
        found[first].alive.touch()
        process = found[second].keepalived
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for each in (process.pid, *map(int, children)):
            os.kill(each, signal.SIGKILL)
        eventually(lambda: first in holder(), seconds=20.0, what="the address on the first machine")
