from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from tests.knowledge.model_change.ponds import SMALL, Pond
from tests.knowledge.model_change.small_model import make_small_model


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 32 dimensions with a prompt, in a folder."""
    return make_small_model(tmp_path_factory.mktemp("models") / SMALL)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    """A data folder with documents embedded by the bundled model, and with the small model's prepared weights."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    with Pond(folder) as pond:
        pond.fill()
    Embedder.load(Settings(data_dir=folder, embedding_model=str(small))).close()
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A copy of `prepared`, for one test."""
    return Path(shutil.copytree(prepared, tmp_path / "data"))
