"""Nodes for tests: several servers over one PostgreSQL and one folder of original files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.core.database import Database
from services.nodes.store.node_store import NodeStore
from tests.postgres_server import PostgresServer
from tests.servers import Server, serving


class Pond:
    """What nodes share; `node` starts one of them."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.folder = folder
        self.postgres = postgres

    @contextmanager
    def node(self, name: str, **settings: object) -> Iterator[Server]:
        """Start a node, wait until it is ready, stop it in the end."""
        with serving(self.folder / name, **self.settings(name), **settings) as server:
            yield server

    def settings(self, name: str) -> dict[str, object]:
        """Return what a node of that name is started with."""
        return {
            "database_url": self.postgres.url,
            "files_url": str(self.folder / "files"),
            "audit_key": str(self.folder / "audit.key"),
            "node_name": name,
        }

    def states(self) -> dict[str, str]:
        """Return the state of each node by name, as the database has it."""
        database = Database(self.postgres.url)
        try:
            return {node.name: node.state.value for node in NodeStore(database).all()}
        finally:
            database.close()


def found(server: Server, question: str) -> list[str]:
    """Return the names of the documents that a search at a node finds."""
    answer = server.client.post("/api/search", json={"query": question}).raise_for_status()
    return [hit["document"] for hit in answer.json()["hits"]]
