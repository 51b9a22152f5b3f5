"""Nodes of one PostgreSQL database within the process of a test: each follows the others when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.app.build_nodes import free_work, mark_answers
from services.app.tables import import_tables
from services.core.database import Database
from services.nodes.membership import Membership
from services.nodes.pond_nodes import Nodes
from services.nodes.store.node_store import NodeStore
from services.nodes.types import BEAT_SECONDS, NodeState
from tests.databases import Engine, database_url, engine_in_use

KEY = b"what these nodes sign with"


@dataclass(frozen=True)
class JoinedNode:
    """A node: its own connections to the shared database, and itself. It has no heartbeat."""

    name: str
    database: Database
    store: NodeStore
    nodes: Nodes

    def follow(self) -> None:
        """Follow what the others have changed."""
        while self.nodes.follower.follow():
            pass

    def take_over(self, other: JoinedNode) -> None:
        """Take over another node, which does not know of it yet."""
        assert self.store.take_over(other.nodes.membership.number, silent_only=False)

    def say(self, state: NodeState) -> None:
        """Tell the others how far this node is."""
        number, epoch = self.nodes.membership.number, self.nodes.membership.epoch
        assert self.store.beat(number, epoch, state=state, applied=0, report={})

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life while the block runs, as real nodes do."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_SECONDS / 4):
                self.say(NodeState.READY)

        self.say(NodeState.READY)
        with ThreadPoolExecutor(1) as pool:
            beats = pool.submit(beat)
            try:
                yield
            finally:
                over.set()
        beats.result()


@contextmanager
def joined(folder: Path, name: str, *, url: str = "", patience: float | None = None) -> Iterator[JoinedNode]:
    """Join the nodes over the database that belongs to a folder, and leave at the end.

    `url` is where the others find it; `patience` is how many seconds its writers wait for others.
    """
    import_tables()
    with engine_in_use(Engine.POSTGRESQL):
        address = database_url(folder)
    database = Database(address) if patience is None else Database(address, patience=patience)
    try:
        database.create_tables()
        store = NodeStore(database, free_work)
        membership = Membership(database, store, name=name, url=url or f"http://{name}", version="1", agreed={})
        nodes = Nodes(database, store, membership, KEY)
        nodes.claims.on_late = mark_answers
        try:
            yield JoinedNode(name, database, store, nodes)
        finally:
            nodes.close()
    finally:
        database.close()


@contextmanager
def two_joined(folder: Path) -> Iterator[tuple[JoinedNode, JoinedNode]]:
    """Join as two nodes named one and two."""
    with joined(folder, "one") as one, joined(folder, "two") as two:
        yield one, two
