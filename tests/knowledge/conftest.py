from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.knowledge.embedding import Embedder
from tests.knowledge.library_harness import LibraryHarness


@pytest.fixture
def workshop(tmp_path: Path, embedder: Embedder) -> Iterator[LibraryHarness]:
    """A library with everything behind it, taking in what is added."""
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        yield workshop
