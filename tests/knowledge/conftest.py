from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.knowledge.embedding import Embedder
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.library_harness import LibraryHarness
from tests.knowledge.parsing.pools import Parse, pool_with


@pytest.fixture
def harness(tmp_path: Path, embedder: Embedder) -> Iterator[LibraryHarness]:
    """A library with everything behind it, taking in what is added."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        yield harness


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParserPool]:
    made = pool_with(tmp_path_factory.mktemp("parser"), parser_memory_mb=1024)
    yield made
    made.close()


@pytest.fixture(scope="session")
def pool_without_ocr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParserPool]:
    made = pool_with(tmp_path_factory.mktemp("parser"), ocr=False)
    yield made
    made.close()


@pytest.fixture
def parse(pool: ParserPool, tmp_path: Path) -> Parse:
    """Parse bytes under a name."""

    def run(data: bytes, name: str, **options: Any) -> ParsedFile:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return pool.parse(path, name, **{"chunk_tokens": 200, "overlap": 24, **options})

    return run
