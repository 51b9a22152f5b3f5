"""Several real nodes over one PostgreSQL database, with one folder of original files and one key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres_server import postgres_server
from tests.servers import ROOT, Server, spawn


@dataclass
class SharedPond:
    """What nodes share; those that are started end with it."""

    folder: Path
    database_url: str
    closing: ExitStack = field(default_factory=ExitStack)

    def node(self, name: str, *, tree: Path = ROOT, **settings: object) -> Server:
        """Start a node and wait until it is ready; `tree`: where its source is."""
        data = self.folder / name
        data.mkdir(mode=0o700, exist_ok=True)
        server = spawn(data, tree=tree, **{**self.settings(name), **settings})
        self.closing.callback(server.stop)
        server.wait_ready()
        return server

    def settings(self, name: str) -> dict[str, object]:
        """Return what a node of that name is started with."""
        return {
            "database_url": self.database_url,
            "files_url": str(self.folder / "files"),
            "audit_key": str(self.folder / "audit.key"),
            "node_name": name,
        }


@contextmanager
def shared_pond(folder: Path) -> Iterator[SharedPond]:
    """Have nodes share a database of their own; `folder` is there and empty."""
    with postgres_server() as postgres:
        pond = SharedPond(folder, postgres.url)
        with pond.closing:
            yield pond


def nodes_by_name(server: Server) -> dict[str, dict[str, Any]]:
    """Return what a node says of all of them."""
    return {each["name"]: each for each in server.client.get("/api/nodes").raise_for_status().json()["nodes"]}
