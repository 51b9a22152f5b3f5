from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.knowledge.embedding import Embedder
from services.settings import Settings


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    """The bundled model, loaded once for all tests."""
    embedder = Embedder.load(Settings())
    yield embedder
    embedder.close()
