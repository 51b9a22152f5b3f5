from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from tests.servers import Server, serving

MEMORY = Path(__file__).resolve().parent / "memory"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that look at this very process: a copy of it costs little while it is small."""
    items.sort(key=lambda item: not item.path.is_relative_to(MEMORY))


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    """The bundled model, loaded once for all tests."""
    embedder = Embedder.load(Settings())
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that is ready, shared by the tests that do not mind each other's documents."""
    with serving(tmp_path_factory.mktemp("server") / "data", upload_limit_mb=16) as server:
        yield server
