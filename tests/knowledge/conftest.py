from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.knowledge.embedding import Embedder
from tests.knowledge.library_harness import Workshop


@pytest.fixture
def workshop(tmp_path: Path, embedder: Embedder) -> Iterator[Workshop]:
    """A library with everything behind it, taking in what is added."""
    with Workshop(tmp_path / "data", embedder) as workshop:
        yield workshop
