"""The whole thing on one machine: two nodes behind HAProxy, over PostgreSQL, S3 and Redis servers, all real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.core.database import Database
from services.core.errors import UnavailableError
from services.nodes.store.node_store import NodeStore
from tests.front.fronts import Front, haproxy
from tests.front.nodes import Nodes, running_nodes
from tests.postgres_server import PostgresServer, postgres_server
from tests.redis_server import RedisServer, redis_server
from tests.s3_server import s3_server, stop_s3_server


@dataclass(frozen=True)
class Pond:
    """What runs."""

    nodes: Nodes
    front: Front
    postgres: PostgresServer
    redis: RedisServer
    database: Database

    def states(self) -> dict[str, str]:
        """Return the state of each node by name, as the database has it; nothing while that does not answer."""
        try:
            return {node.name: node.state.value for node in NodeStore(self.database).all()}
        except UnavailableError:
            return {}


@contextmanager
def whole_pond(folder: Path, **settings: object) -> Iterator[Pond]:
    """Start all of it, and end it with the block; `settings` are those of the nodes."""
    storage = s3_server()
    try:
        with postgres_server() as postgres, redis_server() as redis:
            shared = {
                "database_url": postgres.url,
                "cache_url": redis.url,
                "audit_key": folder / "audit.key",
                **storage.settings(),
                **settings,
            }
            database = Database(postgres.url)
            try:
                with (
                    running_nodes(folder / "nodes", shared=shared) as nodes,
                    haproxy(folder / "front", nodes.addresses) as front,
                ):
                    yield Pond(nodes, front, postgres, redis, database)
            finally:
                database.close()
    finally:
        stop_s3_server()
