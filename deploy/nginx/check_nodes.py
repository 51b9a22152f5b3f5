#!/usr/bin/env python3
"""Has nginx serve by the Millpond nodes that are ready: open-source nginx does not look by itself.

Asks each node's /readyz twice a second. When one comes or goes, nginx's file of nodes is written anew and nginx told to
read it. `--once` writes it with all nodes, for nginx alone, and ends. What waits at a node that hangs waits on: with
`--cut` the kernel closes those connections (by `ss` of iproute2; it takes CAP_NET_ADMIN, and CONFIG_INET_DIAG_DESTROY),
and nginx goes on elsewhere. Python 3.11 is all that it needs otherwise:

    check_nodes.py a=10.0.0.11:8501 b=10.0.0.12:8501 --file /etc/nginx/millpond/nodes.conf --pid /run/nginx.pid
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

COOKIE = "millpond_node"
CUT_SECONDS = 5.0  # for the command that does it
CUT_AFTER = (0.1, 0.3)  # nginx reads a file in less, and on a busy machine in the second one
_NAME = re.compile(r"[a-z0-9]{1,32}")
_ADDRESS = re.compile(r"(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}")


class Answer(Enum):
    """What a node answered to one check: ready, alive but not ready, or nothing in time."""

    READY = "ready"
    NOT_READY = "not ready"
    NONE = "no answer"


@dataclass(frozen=True)
class Node:
    """A node by the name that stands in the cookie, and where it listens."""

    name: str
    address: str

    @classmethod
    def of(cls, text: str) -> Node:
        """Return the node that `name=host:port` names."""
        name, _equals, address = text.partition("=")
        if not _NAME.fullmatch(name) or not _ADDRESS.fullmatch(address):
            raise argparse.ArgumentTypeError(f"{text!r} is not NAME=HOST:PORT, the name of small letters and digits")
        return cls(name, address)


def configuration(nodes: Sequence[Node], serving: Collection[Node], *, checked: bool = True) -> str:
    """Return nginx's file of nodes: which there are, who of them serves, and how a browser stays with its node.

    Not `checked`: nginx finds out alone who is gone. Where that is known it must not: by a request or two that a node
    cannot answer it would take that node for gone, and by the next ones all of them.
    """
    rule = "max_fails=0" if checked else "max_fails=3 fail_timeout=2s"
    using = [node for node in nodes if node in serving] or list(nodes)
    lines = ["# Written by check_nodes.py; $millpond_nodes is who serves a request, $millpond_node who served it."]

    def upstream(name: str, servers: Sequence[tuple[Node, str]]) -> None:
        lines.append(f"upstream {name} {{\n    zone {name} 64k;")
        lines.extend(f"    server {node.address} {rule}{role};" for node, role in servers)
        lines.append("}")

    upstream("millpond_any", [(node, "") for node in using])
    for node in using:
        others = [(other, " backup") for other in using if other != node]
        upstream(f"millpond_on_{node.name}", [(node, ""), *others])
    lines.append(f"map $cookie_{COOKIE} $millpond_nodes {{\n    default millpond_any;")
    lines += [f"    {node.name} millpond_on_{node.name};" for node in using]
    # Of several addresses that were tried the last one answered.
    lines.append('}\nmap $upstream_addr $millpond_node {\n    default "";')
    lines += [f'    "~(^|[ ,]){re.escape(node.address)}$" {node.name};' for node in nodes]
    lines.append(f"}}\nmap $scheme:$millpond_node:$cookie_{COOKIE} $millpond_cookie {{")
    lines.append('    "~^https?:(?<known>[a-z0-9]*):\\k<known>$" "";')
    lines.append('    "~^https?::" "";')
    attributes = "Path=/; HttpOnly; SameSite=Lax"
    lines.append(f'    "~^https:" "{COOKIE}=$millpond_node; {attributes}; Secure";')
    lines.append(f'    default "{COOKIE}=$millpond_node; {attributes}";\n}}\n')
    return "\n".join(lines)


def ask(node: Node, seconds: float) -> Answer:
    """Return what a node says of itself within so many seconds."""
    connection = http.client.HTTPConnection(node.address, timeout=seconds)
    try:
        # A node knows this name without being told; any other one must be among its MILLPOND_ALLOWED_HOSTS.
        connection.request("GET", "/readyz", headers={"Host": "localhost", "Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return Answer.NONE
    finally:
        connection.close()
    return Answer.READY if status == http.HTTPStatus.OK else Answer.NOT_READY


@dataclass
class Watched:
    """A node and what its answers come to: out at once, in again after `rise` answers that say it is ready."""

    node: Node
    rise: int
    state: Answer = Answer.READY
    _ready: int = 0

    def heard(self, answer: Answer) -> bool:
        """Take in an answer; return whether the state has changed."""
        self._ready = self._ready + 1 if answer is Answer.READY else 0
        if answer is self.state or 0 < self._ready < self.rise:
            return False
        self.state = answer
        return True


def serving(watched: Sequence[Watched]) -> list[Node]:
    """Return who is to serve: those that are ready, else those that live and can say what is wrong, else all."""
    for wanted in (Answer.READY, Answer.NOT_READY):
        if found := [each.node for each in watched if each.state is wanted]:
            return found
    return [each.node for each in watched]


@dataclass
class Checker:
    """Keeps the file of nodes in step with the nodes.

    Args:
        nodes: all of them.
        file: what nginx includes.
        reload: tells nginx to read it; where it raises OSError, it is told again.
        cut: closes what is open to a node that does not answer.
        every, timeout: seconds between two checks of a node, and for one.
        rise: so many checks in a row bring a node back.
    """

    nodes: Sequence[Node]
    file: Path
    reload: Callable[[], None]
    cut: Callable[[Node], None] = lambda _node: None
    every: float = 0.5
    timeout: float = 1.0
    rise: int = 2
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._watched = [Watched(node, self.rise) for node in self.nodes]
        self._lock = threading.Lock()
        self._told = self.file.read_text() if self.file.is_file() else ""

    def run(self) -> None:
        """Check until `ended` is set."""
        threads = [threading.Thread(target=self._watch, args=(each,), daemon=True) for each in self._watched]
        for thread in threads:
            thread.start()
        while not self.ended.is_set():
            self._apply()
            self.ended.wait(self.every)

    def _watch(self, watched: Watched) -> None:
        while not self.ended.is_set():
            began = time.monotonic()
            answer = ask(watched.node, self.timeout)
            with self._lock:
                before = watched.state
                changed = watched.heard(answer)
            if changed:
                print(f"{watched.node.name} ({watched.node.address}): {before.value} -> {answer.value}", flush=True)
                self._apply()
            if answer is Answer.NONE:
                self._cut(watched.node, CUT_AFTER if changed else (0.0,))
            self.ended.wait(max(0.0, began + self.every - time.monotonic()))

    def _cut(self, node: Node, pauses: Sequence[float]) -> None:
        """Cut a node off once nginx has read the file: who comes back before that is sent there again."""
        for pause in pauses:
            self.ended.wait(pause)
            self.cut(node)

    def _apply(self) -> None:
        with self._lock:
            text = configuration(self.nodes, serving(self._watched))
            if text == self._told:
                return
            try:
                write(self.file, text)
                self.reload()
            except OSError as error:
                print(f"nginx was not told: {error}", file=sys.stderr, flush=True)
            else:
                self._told = text


def write(file: Path, text: str) -> None:
    """Replace the file as a whole."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def signal_nginx(pid_file: Path) -> None:
    """Have nginx read its files again; it keeps the old ones where the new ones are wrong."""
    try:
        pid = int(pid_file.read_text())
    except ValueError as error:
        raise OSError(f"{pid_file} holds no process id") from error
    os.kill(pid, signal.SIGHUP)


def cut_connections(node: Node) -> None:
    """Close the connections of this machine to a node; where that cannot be done it is said, and they wait on."""
    host, _colon, port = node.address.rpartition(":")
    command = ["ss", "--kill", "--tcp", "--no-header", "dst", host, "dport", "=", port]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CUT_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"connections to {node.name} were not closed: {error}", file=sys.stderr, flush=True)
        return
    if closed := len(done.stdout.splitlines()):
        print(f"connections to {node.name} closed: {closed}", flush=True)
    if done.stderr:
        print(f"connections to {node.name} were not closed: {done.stderr.strip()}", file=sys.stderr, flush=True)


def main() -> int:
    """Check until a signal, or write the file once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="+", type=Node.of, metavar="NAME=HOST:PORT")
    parser.add_argument("--file", type=Path, required=True, help="what nginx includes")
    parser.add_argument("--pid", type=Path, default=Path("/run/nginx.pid"), help="nginx's process id")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two checks of a node")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds for one check")
    parser.add_argument("--cut", action="store_true", help="close what is open to a node that does not answer")
    parser.add_argument("--once", action="store_true", help="write the file with all nodes, and end")
    given = parser.parse_args()
    if given.once:
        write(given.file, configuration(given.nodes, given.nodes, checked=False))
        return 0
    checker = Checker(
        given.nodes, given.file, lambda: signal_nginx(given.pid), every=given.every, timeout=given.timeout
    )
    if given.cut:
        checker.cut = cut_connections
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: checker.ended.set())
    checker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
