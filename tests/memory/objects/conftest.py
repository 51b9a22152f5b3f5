from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.memory.objects.inspector import Inspector
from tests.memory.objects.planted import planted


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    """An inspector with a folder of its own."""
    inspector = Inspector(folder=tmp_path / "objects")
    yield inspector
    inspector.close()


@pytest.fixture(scope="module")
def leaks() -> Iterator[None]:
    """Everything that is planted, for the whole module."""
    with planted():
        yield
