from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import Embedder
from tests.databases import stop_server
from tests.s3_server import stop_s3_server
from tests.servers import Server, serving


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    """The smaller of the bundled models, loaded once for all tests: whatever the default is, it is fast."""
    embedder = Embedder.load(Settings(embedding_model=MINILM))
    yield embedder
    embedder.close()


@pytest.fixture(scope="session", autouse=True)
def _engine_servers() -> Iterator[None]:
    yield
    stop_server()
    stop_s3_server()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that is ready, shared by the tests that do not mind each other's documents."""
    with serving(tmp_path_factory.mktemp("server") / "data", upload_limit_mb=16) as server:
        yield server
