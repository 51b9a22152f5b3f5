"""A link of one node to its database, which can be cut: what is sent over it is lost then, in both directions.

The link leads into a network namespace, over a pair of virtual interfaces; a relay there speaks to the database through
its sockets in the file system, which a namespace does not part. Root alone can make one.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.provide_programs import PATH
from tests.deploy.tools import tool
from tests.servers import eventually

_INSIDE = "pond"
_HAPROXY = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
"""


@dataclass(frozen=True)
class Link:
    """Where the database is reached over the link, and the process whose namespace it leads to."""

    address: str
    ports: tuple[int, ...]
    process: int

    def cut(self) -> None:
        """Have everything that is sent be lost; nobody is told."""
        self._set("down")

    def mend(self) -> None:
        """Have it arrive again."""
        self._set("up")

    def _set(self, state: str) -> None:
        _run("nsenter", "--target", str(self.process), "--net", "ip", "link", "set", _INSIDE, state)


def lacking() -> str:
    """Return what is missing to make a link, "" for nothing."""
    if os.geteuid() != 0:
        return "it takes root to make a network namespace"
    missing = [name for name in ("ip", "unshare", "nsenter", "haproxy") if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


@contextmanager
def link(folder: Path, sockets: Mapping[int, Path]) -> Iterator[Link]:
    """Make a link to a database whose servers have these ports and sockets; it goes with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    servers = "".join(f"listen p{port}\n    bind :{port}\n    server s unix@{path}\n" for port, path in sockets.items())
    (folder / "relay.cfg").write_text(_HAPROXY + servers)
    with (folder / "relay.log").open("w") as log:
        relay = subprocess.Popen(
            ["unshare", "--net", tool("haproxy"), "-db", "-f", str(folder / "relay.cfg")], stdout=log, stderr=log
        )
    try:
        eventually(lambda: _listens(relay, sockets), what="the relay of the link")
        number = random.randrange(2**14)
        here, there = (f"10.{200 + number // 256 % 50}.{number % 256}.{end}" for end in (1, 2))
        outside = f"pond{relay.pid}"[:15]
        inside = ("nsenter", "--target", str(relay.pid), "--net", "ip")
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", _INSIDE, "netns", str(relay.pid))
        _run("ip", "address", "add", f"{here}/30", "dev", outside)
        _run(*inside, "address", "add", f"{there}/30", "dev", _INSIDE)
        _run(*inside, "link", "set", _INSIDE, "up")
        _run("ip", "link", "set", outside, "up")
        yield Link(there, tuple(sockets), relay.pid)
    finally:
        relay.terminate()  # its namespace goes with it, and the interfaces with that
        relay.wait(30)


def _listens(relay: subprocess.Popen[bytes], ports: Mapping[int, Path]) -> bool:
    assert relay.poll() is None, "the relay ended"
    found = subprocess.run(
        ["nsenter", "--target", str(relay.pid), "--net", "cat", "/proc/net/tcp"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return all(f":{port:04X} 00000000:0000 0A" in found for port in ports)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
