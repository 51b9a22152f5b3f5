"""What a drill happens on: a pond with people, in which one node has a link to the database and a disk of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa

from services.app.build_identity import offline_identity
from services.core.actor import SCOPES, Role
from services.core.settings import Settings
from services.identity.types import SignInWay
from tests.drill.clients import NAME, PASSWORD, past_front
from tests.drill.link import Link, lacking, link
from tests.drill.small_disk import RESERVE_MEGABYTES, SmallDisk, small_disk
from tests.front.nodes import Start
from tests.patroni.cluster import PASSWORD as CLUSTER_PASSWORD
from tests.patroni.cluster import Cluster, cluster
from tests.pond.whole import Pond, pond_over
from tests.postgres_server import postgres_server

FAULTY = "b"  # what happens to one node happens to this one
ROLE = "node_b"  # it has a role of its own at the database


@dataclass(frozen=True)
class Stage:
    """The pond, and what faults need. `token` acts for an administrator; `superuser` is the database's URL for one."""

    folder: Path
    pond: Pond
    token: str
    superuser: str
    link: Link | None = None
    disk: SmallDisk | None = None
    cluster: Cluster | None = None

    def client(self, name: str, **headers: str) -> httpx.Client:
        """Return a client of one node, past the front, that acts for the administrator."""
        return past_front(self.pond.nodes.addresses[name], self.token, **headers)

    def execute(self, *statements: str) -> None:
        """Have the database's superuser do something, each statement by itself."""
        engine = sa.create_engine(self.superuser, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@contextmanager
def stage(folder: Path, *, full: bool = False) -> Iterator[Stage]:
    """Start everything; with `full` the database is a pair under Patroni."""
    with ExitStack() as closing:
        if full:
            pair = closing.enter_context(cluster())
            postgres, url = None, pair.url
            superuser = url.replace("://millpond:", "://postgres:")
            sockets = {each.port: each.folder / f".s.PGSQL.{each.port}" for each in pair.members.values()}
            login = f"LOGIN PASSWORD '{CLUSTER_PASSWORD}' IN ROLE millpond"
        else:
            pair, postgres = None, closing.enter_context(postgres_server())
            url = superuser = postgres.url
            place = Path(str(sa.make_url(url).query["host"]))
            sockets = {5432: place / ".s.PGSQL.5432"}
            login = "LOGIN SUPERUSER"
        linked = None if lacking() else closing.enter_context(link(folder / "link", sockets))
        disk = closing.enter_context(small_disk(folder / "nodes" / FAULTY))
        token = _people(Settings(data_dir=folder / "people", database_url=url, audit_key=str(folder / "audit.key")))
        engine = sa.create_engine(superuser, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {ROLE} {login}")
        own = {
            FAULTY: {
                "database_url": _own_url(url, linked, tuple(sockets)),
                "free_disk_mb": RESERVE_MEGABYTES,
            }
        }
        pond = closing.enter_context(pond_over(folder, url, postgres=postgres, own=own))
        yield Stage(folder, pond, token, superuser, linked, disk, pair)


def restart(stage: Stage, start: Start) -> None:
    """Take the faulty node out of the front and start it in another way; nobody notices."""
    from tests.front.faults import drained

    drained(stage.pond.nodes, FAULTY)
    stage.pond.nodes.starts[FAULTY] = start
    stage.pond.nodes.up()


def _own_url(url: str, linked: Link | None, ports: Sequence[int]) -> str:
    own = sa.make_url(url).set(username=ROLE)
    if linked is not None:
        hosts = ",".join(linked.address for _port in ports)
        own = own.update_query_dict({"host": hosts, "port": ",".join(map(str, ports))})
    return own.render_as_string(hide_password=False).replace("%2C", ",")


def _people(settings: Settings) -> str:
    """Make accounts in an empty database; return a token of the administrator for everything."""
    with offline_identity(settings) as identity:
        local = identity.local_actor()
        admin = identity.accounts.add(local, "root", Role.ADMIN, password=PASSWORD)
        identity.accounts.add(local, NAME, Role.USER, password=PASSWORD)
        signed_in = identity.open_session(admin.id, way=SignInWay.PASSWORD, address="127.0.0.1", device="")
        return identity.tokens.create(signed_in.actor, admin.id, "drill", [*SCOPES]).token
