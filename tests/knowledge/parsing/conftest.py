from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.knowledge.parsing.pool import ParserPool
from tests.knowledge.parsing.pools import SLOW, pool_with


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_text("Nothing special in here.")
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A file that takes many seconds."""
    path = tmp_path / "slow"
    path.write_bytes(SLOW)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ParserPool]:
    pool = pool_with(tmp_path)
    yield pool
    pool.close()
