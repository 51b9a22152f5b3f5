"""Weights that a child process prepares: once, sound or made anew, where they can be written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.core.errors import UnavailableError
from services.core.file_checksum import file_sha256
from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import Embedder
from services.knowledge.embedding.engine import prepare, prepared_folder, prepared_model
from services.knowledge.embedding.engine.onnx_encoder import OnnxEncoder
from services.knowledge.embedding.engine.prepared_folder import MANIFEST
from services.knowledge.embedding.engine.prepared_model import LAYERS, SMALL, WORDS, PreparedModel
from services.knowledge.embedding.model_files import ModelFiles, find_model
from tests.knowledge.embedding.model_folders import make_folder


def prepared(model: ModelFiles, arithmetic: str, folders: list[Path]) -> PreparedModel:
    return prepared_model.prepared(model, arithmetic, folders, model.tokenizer_file)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A small model of random weights."""
    return find_model(str(make_folder(tmp_path_factory.mktemp("model") / "small", "bert")), "")


def test_weights_are_prepared_once(model: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start reads what the first one made."""
    first = prepared(model, "float32", [tmp_path])
    monkeypatch.setattr(prepared_folder, "_run_child", lambda *_arguments: pytest.fail("prepared again"))
    assert prepared(model, "float32", [tmp_path]) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.folder.name]


@pytest.mark.parametrize("name", [LAYERS, WORDS, SMALL, MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_damaged_weights_are_made_anew(model: ModelFiles, tmp_path: Path, name: str, damage: str) -> None:
    """A flipped bit would give every text a wrong vector, and nobody would see it."""
    sound = prepared(model, "float32", [tmp_path])
    path = sound.folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(
            content[:middle]
            if damage == "cut"
            else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    assert prepared(model, "float32", [tmp_path]) == sound
    sums = json.loads((sound.folder / MANIFEST).read_text())["files"]
    assert {each: file_sha256(sound.folder / each) for each in sums} == sums


def test_another_folder_serves_where_the_first_cannot_be_written(model: ModelFiles, tmp_path: Path) -> None:
    """An installation that belongs to somebody else is no reason to end."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert prepared(model, "float32", [blocked, tmp_path]).folder.parent == tmp_path
    with pytest.raises(UnavailableError, match="could not be prepared") as caught:
        prepared(model, "float32", [blocked])
    assert "data folder" in caught.value.hint


def test_a_child_that_fails_is_told_with_its_reason(model: ModelFiles, tmp_path: Path) -> None:
    """Weights that cannot be read end with what the child said, and leave nothing half made."""
    broken = ModelFiles.from_json(model.as_json() | {"folder": str(tmp_path / "nowhere")})
    with pytest.raises(UnavailableError, match="No such file"):
        prepared(broken, "float32", [tmp_path / "models"])
    assert list((tmp_path / "models").iterdir()) == []


def test_who_may_read_the_folder_may_read_the_weights(model: ModelFiles, tmp_path: Path) -> None:
    """Beside the bundled model they serve everybody on the machine, in a data folder nobody else."""
    for name, mode, file_mode in (("shared", 0o755, 0o644), ("private", 0o700, 0o600)):
        folder = tmp_path / name
        folder.mkdir(mode=mode)
        made = prepared(model, "float32", [folder]).folder
        assert made.stat().st_mode & 0o777 == mode
        assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {file_mode}


def test_eight_bits_give_way_where_they_do_not_hold(
    model: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose vectors change too much when rounded is kept in float32, and the memory page says which it is."""
    for least, arithmetic in ((0.9, "int8"), (1.1, "float32")):
        monkeypatch.setattr(prepare, "LEAST_COSINE", least)
        folder = tmp_path / arithmetic
        folder.mkdir()
        prepare.prepare(model, "int8", folder, model.tokenizer_file)
        manifest = json.loads((folder / MANIFEST).read_text())
        assert manifest["arithmetic"] == arithmetic
        made = PreparedModel(folder, arithmetic, manifest["cosine"])
        vectors = OnnxEncoder(model, made).forward([[101, 7, 8, 102], [101, 102]], lambda: None)
        assert vectors.shape == (2, 32)


def test_the_bundled_model_holds_in_eight_bits() -> None:
    """What the preparation measured is what the texts of the tests get."""
    embedder = Embedder.load(Settings(embedding_model=MINILM))
    assert "int8, cpu" in embedder.memory_report().detail
    exact = Embedder.load(Settings(embedding_model=MINILM, embedding_precision="float32"))
    texts = [f"The wheel of mill {number} turns {number * 7} times." for number in range(30)] + [
        "水磨坊",
        "x" * 900,
        "",
    ]
    cosines = np.einsum("ij,ij->i", embedder.embed_chunks(texts), exact.embed_chunks(texts))
    assert cosines.min() > 0.99
    assert cosines.mean() > 0.998
    embedder.close()
    exact.close()
