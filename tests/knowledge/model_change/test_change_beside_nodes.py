"""The embedding model is changed while no other node works, and no node joins with another one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.app.build_documents import load_serving
from services.core.actor import Actor, Role
from services.core.claims import ALONE
from services.core.database import Database
from services.core.errors import ConflictError
from services.core.settings import Settings
from services.knowledge.model_change.types import ChangeStage
from services.knowledge.store.model_changes import ModelChangeStore
from services.nodes.types import Node, NodeState
from tests.knowledge.model_change.ponds import Pond

ADMIN = Actor("anna", Role.ADMIN)


class Others:
    """The other nodes, as a test says."""

    def __init__(self, *names: str) -> None:
        self.claims = ALONE
        self.membership = self
        self.agreed: list[tuple[str, str]] = []
        self.names = list(names)

    def others(self) -> list[Node]:
        return [Node(2, name, 1, NodeState.READY, "1", "", 0.0, 0.0, 0) for name in self.names]

    def require_alone(self, what: str) -> None:
        if self.names:
            raise ConflictError(what)

    def agree(self, what: str, value: str) -> None:
        self.agreed.append((what, value))


def test_the_model_stays_while_other_nodes_work(folder: Path, small: Path) -> None:
    """The others would search with vectors of one model in an index of another: and find what nobody asked for."""
    nodes: Any = Others("two")
    with Pond(folder, str(small), nodes=nodes) as pond:
        status = pond.until(ChangeStage.WAITING)
        assert "two" in status.reason
        assert pond.rows("chunk_vectors") == 0
        pond.change.pause(ADMIN)
        with pytest.raises(ConflictError, match="cannot be changed"):
            pond.change.resume(ADMIN)
        assert pond.status().stage is ChangeStage.PAUSED
        nodes.names.clear()
        pond.change.resume(ADMIN)
        pond.changed()
        pond.check()
        assert nodes.agreed == [("embedding model", pond.serving.fingerprint)]


def test_a_node_with_another_model_records_nothing(folder: Path, small: Path) -> None:
    """It would have the documents embedded with its own one, under the feet of those that work."""

    def refuse(_fingerprint: str) -> None:
        raise ConflictError("another embedding model")

    settings = Settings(data_dir=folder, embedding_model=str(small))
    database = Database(settings.effective_database_url)
    with ExitStack() as closing:
        closing.callback(database.close)
        with pytest.raises(ConflictError):
            load_serving(settings, database, None, closing, refuse)
        assert ModelChangeStore(database).coming() is None
