"""HAProxy and nginx in front of nodes, with the files of `deploy`."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.nginx.check_nodes import Node, configuration
from tests.certificates import make_pair
from tests.deploy.tools import DEPLOY, tool
from tests.servers import eventually

HAPROXY = DEPLOY / "haproxy" / "haproxy.cfg"
NGINX = DEPLOY / "nginx" / "millpond-nodes.conf"


@dataclass(frozen=True)
class Front:
    """A front that answers: `url` by TLS, `plain` without; `trusted` is a client's context that knows it."""

    url: str
    plain: str
    trusted: ssl.SSLContext
    log: Path
    watch: str = ""
    control: Path = Path()

    def command(self, text: str) -> str:
        """Give HAProxy a command through its socket, and return what it said."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.control))
            connection.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


Run = Callable[[Path, Mapping[str, str]], AbstractContextManager[Front]]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _number in range(count)]
    ports = [int(each.getsockname()[1]) for each in probes]
    for each in probes:
        each.close()
    return ports


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return a configuration with something else in places that it must have."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def haproxy(folder: Path, nodes: Mapping[str, str], changes: Mapping[str, str] | None = None) -> Iterator[Front]:
    """A running HAProxy before nodes a and b, whose addresses are given; `changes`: so that a test need not wait."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, secure, watch = free_ports(3)
    pair = make_pair()
    (folder / "millpond.pem").write_bytes(pair.certificate + pair.key)
    text = changed(
        HAPROXY.read_text(),
        {
            "    user haproxy\n    group haproxy\n": "",
            "/dev/log local0": "stderr format raw daemon",
            "/run/haproxy/": f"{folder}/",
            "/etc/haproxy/away.html": str(DEPLOY / "away.html"),
            "/etc/haproxy/": f"{folder}/",
            "bind :80\n": f"bind 127.0.0.1:{plain}\n",
            "bind :443 ": f"bind 127.0.0.1:{secure} ",
            "127.0.0.1:8404": f"127.0.0.1:{watch}",
            "server a 127.0.0.1:8501": f"server a {nodes['a']}",
            "server b 127.0.0.1:8502": f"server b {nodes['b']}",
            **(changes or {}),
        },
    )
    (folder / "haproxy.cfg").write_text(text)
    with _running(folder / "haproxy.log", [tool("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], secure):
        yield Front(
            f"https://127.0.0.1:{secure}",
            f"http://127.0.0.1:{plain}",
            pair.trusted(),
            folder / "haproxy.log",
            f"http://127.0.0.1:{watch}",
            folder / "admin.sock",
        )


@contextmanager
def nginx_alone(folder: Path, nodes: Mapping[str, str]) -> Iterator[Front]:
    """A running nginx that notices by itself alone which nodes are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, secure = free_ports(2)
    pair = make_pair()
    pair.write(folder)
    known = [Node(name, address) for name, address in nodes.items()]
    (folder / "nodes.conf").write_text(configuration(known, known, checked=False))
    (folder / "away.html").write_bytes((DEPLOY / "away.html").read_bytes())
    site = changed(
        NGINX.read_text(),
        {
            "/etc/nginx/millpond": str(folder),
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ": f"listen 127.0.0.1:{secure} ",
        },
    )
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nworker_shutdown_timeout 1h;\n"
        f"{'user root;' if (folder.owner() == 'root') else ''}\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}\n}}\n"
    )
    command = [tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with _running(folder / "nginx.log", command, secure):
        yield Front(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", pair.trusted(), folder / "nginx.log")


@contextmanager
def nginx_with_checks(folder: Path, nodes: Mapping[str, str]) -> Iterator[Front]:
    """A running nginx with its helper, as the unit of systemd runs it."""
    with nginx_alone(folder, nodes) as front:
        eventually((folder / "nginx.pid").is_file, what="nginx's process id")
        command = [sys.executable, str(DEPLOY / "nginx" / "check_nodes.py"), "--cut"]
        command += ["--file", str(folder / "nodes.conf")]
        command += ["--pid", str(folder / "nginx.pid"), *(f"{name}={address}" for name, address in nodes.items())]
        with _running(folder / "check.log", command):
            yield front


@contextmanager
def _running(log: Path, command: Sequence[str], port: int = 0) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        if port:
            eventually(listens, what=command[0])
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
