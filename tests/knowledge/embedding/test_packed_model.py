"""Models in one file of 4-bit blocks: read right, damaged ones refused, computed as the library computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from services.core.errors import DamagedError, UnavailableError
from services.core.file_checksum import file_sha256
from services.core.settings import Settings
from services.knowledge import bundled_models
from services.knowledge.embedding import Embedder, model_files
from services.knowledge.embedding.bert_encoder import BertEncoder
from services.knowledge.embedding.engine.bert_input import PackedWordFile
from services.knowledge.embedding.engine.onnx_encoder import OnnxEncoder
from services.knowledge.embedding.model_files import find_model
from services.knowledge.embedding.packed_file import PackedFile
from services.knowledge.parsing.worker import load_tokenizer
from services.knowledge.text.chunks import chunk_sections
from services.knowledge.types import Section
from tests.knowledge.embedding.packed_models import POSITIONS, WIDTH, as_bert, write_model
from tests.knowledge.tokenization.references import Reference, real_file, small_vocabulary

TEXTS = ["the mill", "水磨坊", "the pond " * 100, "", "millpond's mill, pond. " * 3, "❄ unknown ❄", " trailing \n"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "small.bin"
    write_model(path)
    return path


def expected_vectors(path: Path, prompt: str) -> np.ndarray:
    """Return what Hugging Face's model makes of the texts behind a prompt."""
    model = as_bert(write_model(path.with_name("again.bin")))
    pieces, scores, normalised = small_vocabulary()
    reference = Reference(pieces, scores, 3, normalised)
    vectors = []
    for text in TEXTS:
        ids = [0, *reference.ids(prompt + text.strip())[: POSITIONS - 2], 2]
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        vectors.append(hidden.mean(axis=0) / np.linalg.norm(hidden.mean(axis=0)))
    return np.stack(vectors)


def test_tensors_are_what_was_written(packed: Path, tmp_path: Path) -> None:
    """Scales, halves and their order, in matrices and in rows that are read one by one."""
    written = write_model(tmp_path / "model.bin")
    file = PackedFile(tmp_path / "model.bin")
    for name, weights in written.items():
        assert np.array_equal(file.tensor(name, *weights.shape), weights)
    words = PackedWordFile(tmp_path / "model.bin", WIDTH, file.offset("emb.word"))
    tokens = np.array([[5, 1, 5], [0, 7, 9]])
    assert np.array_equal(words.rows(tokens), written["emb.word"][tokens])


def test_the_vocabulary_is_what_was_written(packed: Path) -> None:
    """Pieces in order, their scores, what characters are normalised to."""
    pieces, scores, normalised = small_vocabulary()
    found = PackedFile(packed).vocabulary()
    assert list(found.pieces) == pieces
    assert np.allclose(found.scores, scores)
    assert found.normalised == normalised
    assert (found.bos, found.pad, found.eos, found.unknown) == (0, 1, 2, 3)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.9999])
def test_a_file_that_was_cut_off_is_refused(packed: Path, tmp_path: Path, share: float) -> None:
    """Wherever it ends: nothing is read beyond it."""
    content = packed.read_bytes()
    path = tmp_path / "cut.bin"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamagedError, match=r"cut\.bin .* damaged or incomplete"):
        PackedFile(path)


def test_no_damaged_byte_of_the_head_is_more_than_an_error(packed: Path, tmp_path: Path) -> None:
    """Sizes, offsets and types that are wrong end with words, never with a crash or with reading elsewhere."""
    content = bytearray(packed.read_bytes())
    head = PackedFile(packed).offset("emb.word")
    chance = np.random.default_rng(5)
    path = tmp_path / "damaged.bin"
    refused = 0
    for at in [*range(64), *chance.integers(64, head, 200).tolist()]:
        damaged = content.copy()
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            file = PackedFile(path)
            file.vocabulary()
            file.tensor("emb.ln.w", file.shape.width)
        except DamagedError:
            refused += 1
    assert refused > 60


def test_a_model_without_a_tensor_is_refused(packed: Path, tmp_path: Path) -> None:
    """Another shape than the head tells, or a name that is missing."""
    file = PackedFile(packed)
    with pytest.raises(DamagedError):
        file.tensor("l9.q.w", WIDTH, WIDTH)
    with pytest.raises(DamagedError):
        file.tensor("l0.q.w", WIDTH, WIDTH + 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_packed_model_computes_what_the_library_computes(packed: Path, tmp_path: Path, precision: str) -> None:
    """Tokens, prompts, weights, pooling: without torch, and with it as a GPU would."""
    embedder = Embedder.load(
        Settings(data_dir=tmp_path, embedding_model=str(packed), embedding_precision=precision, embedding_threads=1)
    )
    kind = OnnxEncoder if precision == "float32" else BertEncoder
    assert isinstance(embedder._weights._encoder, kind)
    least = 0.9999 if precision == "float32" else 0.99
    chunks = (embedder.embed_chunks(TEXTS) * expected_vectors(packed, "passage: ")).sum(axis=1)
    asked = np.stack([embedder.embed_query(text) for text in TEXTS])
    questions = (asked * expected_vectors(packed, "query: ")).sum(axis=1)
    assert min(chunks.min(), questions.min()) > least
    embedder.close()


def test_its_tokenizer_serves_the_parser(packed: Path, tmp_path: Path) -> None:
    """Another process counts tokens of chunks by what was prepared, and no chunk is longer than the model reads."""
    embedder = Embedder.load(Settings(data_dir=tmp_path, embedding_model=str(packed)))
    tokenizer = load_tokenizer(str(embedder.tokenizer_file))
    text = "the mill pond 水磨坊, mill. " * 40 + "x" * 300
    drafts = list(chunk_sections([Section(text)], tokenizer, embedder.max_tokens, 4))
    assert all(draft.tokens == tokenizer.counts([draft.text])[0] + 2 <= embedder.max_tokens for draft in drafts)
    assert "".join("".join(draft.text.split()) for draft in drafts).count("x") >= 300
    report = embedder.tokenizer_memory_report()
    assert {Path(path).parent for path, _size in report.files} == {embedder.tokenizer_file}
    embedder.close()


def test_damaged_pieces_are_made_anew(packed: Path, tmp_path: Path) -> None:
    """The library that maps them trusts them: they are checked before."""
    settings = Settings(data_dir=tmp_path, embedding_model=str(packed))
    first = Embedder.load(settings)
    trie = first.tokenizer_file / "pieces.marisa"
    sound = file_sha256(trie)
    first.close()
    trie.write_bytes(b"\xff" * trie.stat().st_size)
    second = Embedder.load(settings)
    assert file_sha256(trie) == sound
    assert second.fingerprint == first.fingerprint
    second.close()


def test_a_bundled_model_goes_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both names are known wherever the program stands; one that is not installed says how to get it."""
    assert find_model(bundled_models.MINILM, "").sha256 == bundled_models.MINILM_SHA256
    monkeypatch.setattr(model_files, "multilingual_path", lambda: tmp_path / "nowhere.bin")
    with pytest.raises(UnavailableError, match="multilingual-e5-small is not installed") as caught:
        find_model(bundled_models.MULTILINGUAL, "")
    assert "make model" in caught.value.hint


def test_minilm_serves_where_the_default_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No start fails for it; people are told in words, and nobody who has chosen a model."""
    monkeypatch.setattr(model_files, "DEFAULT", bundled_models.MULTILINGUAL)
    monkeypatch.setattr(model_files, "multilingual_path", lambda: tmp_path / "nowhere.bin")
    assert find_model("", "").name == bundled_models.MINILM
    embedder = Embedder.load(Settings())
    assert "multilingual-e5-small is not installed" in embedder.model_note
    embedder.close()
    assert model_files.missing_default(bundled_models.MINILM) == ""


def test_another_file_in_the_place_of_the_bundled_one_is_refused(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checksum is known: what computes everybody's vectors is not exchanged unseen."""
    monkeypatch.setattr(model_files, "multilingual_path", lambda: packed)
    with pytest.raises(DamagedError, match="checksum"):
        find_model(bundled_models.MULTILINGUAL, "")


@pytest.mark.skipif(real_file() is None, reason="the multilingual model is not installed")
def test_the_multilingual_model_holds_in_eight_bits_and_knows_languages(tmp_path: Path) -> None:
    """Vectors stay those of float32, and a passage is nearest to the question that asks for it in another language."""
    embedders = [
        Embedder.load(
            Settings(data_dir=tmp_path, embedding_model="multilingual-e5-small", embedding_precision=precision)
        )
        for precision in ("int8", "float32")
    ]
    texts = [
        "The sluice gate of the mill opens at six in the morning.",
        "水磨坊的闸门早上六点打开。",
        "Der Vertrag kann mit einer Frist von drei Monaten gekündigt werden.",
        "Пчёлы зимуют в улье и питаются мёдом.",
        "ประเทศไทยมีประชากรหกสิบหกล้านคน",
        "def area(radius: float) -> float:\n    return math.pi * radius**2",
    ]
    vectors, exact = (embedder.embed_chunks(texts) for embedder in embedders)
    assert (vectors * exact).sum(axis=1).mean() > 0.99
    for asked, right in (
        ("When does the gate open?", {0, 1}),
        ("合同的解约期限是多久？", {2}),
        ("Where do bees winter?", {3}),
    ):
        assert int(np.argmax(vectors @ embedders[0].embed_query(asked))) in right
    for embedder in embedders:
        embedder.close()
