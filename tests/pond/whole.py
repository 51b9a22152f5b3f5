"""The whole thing on one machine: two nodes behind HAProxy, over PostgreSQL, S3 and Redis servers, all real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.core.database import Database
from services.core.errors import UnavailableError
from services.nodes.store.node_store import NodeStore
from services.nodes.types import Node
from tests.front.fronts import Front, haproxy
from tests.front.nodes import Nodes, running_nodes
from tests.postgres_server import PostgresServer, postgres_server
from tests.redis_server import RedisServer, redis_server
from tests.s3_server import s3_server, stop_s3_server


@dataclass(frozen=True)
class Pond:
    """What runs; `url` is that of the database, `postgres` its server where the pond has one of its own."""

    nodes: Nodes
    front: Front
    redis: RedisServer
    database: Database
    url: str
    postgres: PostgresServer | None = None

    def states(self) -> dict[str, str]:
        """Return the state of each node by name, as the database has it; nothing while that does not answer."""
        return {name: node.state.value for name, node in self.listed().items()}

    def listed(self) -> dict[str, Node]:
        """Return the nodes by name, as the database has them; nothing while that does not answer."""
        try:
            return {node.name: node for node in NodeStore(self.database).all()}
        except UnavailableError:
            return {}

    def in_front(self) -> bool:
        """Return whether the front sends requests to every node."""
        lines = [line.split(",") for line in self.front.command("show stat\n").splitlines()]
        names = {name: number for number, name in enumerate(lines[0])}
        found = {line[1]: line[names["status"]] for line in lines[1:] if line[0] == "# ready" or line[0] == "ready"}
        return all(found.get(name) == "UP" for name in self.nodes.addresses)


@contextmanager
def whole_pond(folder: Path, **settings: object) -> Iterator[Pond]:
    """Start all of it, and end it with the block; `settings` are those of the nodes."""
    with postgres_server() as postgres, pond_over(folder, postgres.url, postgres=postgres, settings=settings) as pond:
        yield pond


@contextmanager
def pond_over(
    folder: Path,
    url: str,
    *,
    postgres: PostgresServer | None = None,
    settings: Mapping[str, object] | None = None,
    own: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Pond]:
    """Start all of it but the database, which is there and may be empty; `own` are settings of one node, by name."""
    with ExitStack() as closing:
        storage = s3_server()
        closing.callback(stop_s3_server)
        redis = closing.enter_context(redis_server())
        shared = {
            "database_url": url,
            "cache_url": redis.url,
            "audit_key": folder / "audit.key",
            **storage.settings(),
            **(settings or {}),
        }
        database = Database(url)
        closing.callback(database.close)
        nodes = closing.enter_context(running_nodes(folder / "nodes", shared=shared, own=own))
        front = closing.enter_context(haproxy(folder / "front", nodes.addresses))
        yield Pond(nodes, front, redis, database, url, postgres)
