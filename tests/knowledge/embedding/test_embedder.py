from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from services.core.errors import CancelledError, DamagedError, UnavailableError
from services.core.settings import Settings
from services.integrations.langchain import LangChainEmbeddings
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import Embedder
from services.knowledge.embedding import embedder as embedder_module
from services.knowledge.embedding.bert_encoder import BertEncoder, Int8Rows, _rows
from services.knowledge.embedding.engine.onnx_encoder import OnnxEncoder
from services.knowledge.embedding.model_files import find_model
from services.knowledge.embedding.sentence_transformers_encoder import SentenceTransformersEncoder
from tests.knowledge.embedding.model_folders import make_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEADLINE_SECONDS = 30
TEXTS = [
    "The mill pond lies still under the old wheel.",
    "short",
    "",
    "Water turns the wheel, the wheel turns the stone, and the stone grinds what the farmers bring. " * 40,
    "黑豹队的防守只丢了 308分，在联赛中排名第六。",
    "Trailing blanks and\nline ends \t ",
] + [f"Paragraph {number} speaks of grain. " * (number % 9 + 1) for number in range(30)]


def reference(folder: Path) -> SentenceTransformer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(folder), device="cpu")


def cosines(mine: np.ndarray, model: SentenceTransformer, prompt: str = "") -> np.ndarray:
    theirs = model.encode(TEXTS, normalize_embeddings=True, prompt=prompt or None, show_progress_bar=False)
    return (mine * np.asarray(theirs)).sum(axis=1)


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.999), ("int8", 0.99)])
def test_the_bundled_model_computes_what_the_library_computes(precision: str, least: float) -> None:
    """Every kind of text gets the vector that SentenceTransformer.encode gives it."""
    embedder = Embedder.load(Settings(embedding_model=MINILM, embedding_precision=precision))
    vectors = embedder.embed_chunks(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert cosines(vectors, reference(embedder.files.folder)).min() > least
    assert embedder.embed_query(TEXTS[0]) @ vectors[0] > least
    embedder.close()


@pytest.mark.parametrize(
    ("kind", "pooling", "encoder"),
    [
        ("bert", "mean", OnnxEncoder),
        ("bert", "cls", OnnxEncoder),
        ("bert", "max", SentenceTransformersEncoder),
        ("xlm-roberta", "mean", OnnxEncoder),
        ("distilbert", "mean", SentenceTransformersEncoder),
    ],
)
def test_other_models_compute_what_the_library_computes(tmp_path: Path, kind: str, pooling: str, encoder: type) -> None:
    """Other architectures and poolings are right, too, without torch where that can be, else by the library."""
    folder = make_folder(tmp_path / "model", kind, pooling=pooling)
    embedder = Embedder.load(Settings(data_dir=tmp_path, embedding_model=str(folder), embedding_precision="float32"))
    assert isinstance(embedder._weights._encoder, encoder)
    assert embedder.dimension == 32
    assert embedder.max_tokens == 64
    assert cosines(embedder.embed_chunks(TEXTS), reference(folder)).min() > 0.9999
    embedder.close()


@pytest.mark.parametrize(("kind", "pooling"), [("bert", "mean"), ("xlm-roberta", "cls")])
def test_torch_computes_what_the_library_computes(tmp_path: Path, kind: str, pooling: str) -> None:
    """What a GPU would compute is right on the CPU, in float32 as in half precision."""
    folder = make_folder(tmp_path / "model", kind, pooling=pooling)
    files = find_model(str(folder), "")
    tokenizer = Tokenizer.from_file(str(files.tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(files.max_tokens)
    sequences = [tokenizer.encode(text.strip()).ids for text in TEXTS]
    for dtype, least in ((torch.float32, 0.9999), (torch.bfloat16, 0.99)):
        encoder = BertEncoder.load(files, torch.device("cpu"), dtype)
        vectors = encoder.forward(sequences, lambda: None)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        assert cosines(vectors, reference(folder)).min() > least


def test_prompts_of_a_model_are_used(tmp_path: Path) -> None:
    """A model that wants words before questions and passages gets them, and chunks leave room for them."""
    folder = make_folder(tmp_path / "model", "bert", prompts={"query": "query: ", "document": "passage: "})
    embedder = Embedder.load(Settings(embedding_model=str(folder), embedding_precision="float32"))
    model = reference(folder)
    assert cosines(embedder.embed_chunks(TEXTS), model, "passage: ").min() > 0.9999
    asked = np.stack([embedder.embed_query(text) for text in TEXTS])
    assert cosines(asked, model, "query: ").min() > 0.9999
    assert embedder.max_tokens == 64 - 2
    embedder.close()


def test_bfloat16_ranks_as_float32_does(embedder: Embedder) -> None:
    """The faster arithmetic does not change which texts are nearest."""
    exact = Embedder.load(Settings(embedding_model=MINILM, embedding_precision="float32"))
    fast = Embedder.load(Settings(embedding_model=MINILM, embedding_precision="bfloat16"))
    texts = [text for text in TEXTS[:6] if text] + ["Grain is ground by stones.", "A league's defence ranked sixth."]
    question = "What grinds the grain?"
    ranks = [np.argsort(-(e.embed_chunks(texts) @ e.embed_query(question)))[:3].tolist() for e in (exact, fast)]
    assert ranks[0] == ranks[1]
    assert exact.fingerprint == fast.fingerprint == embedder.fingerprint
    exact.close()
    fast.close()


def test_weights_with_another_checksum_are_refused(tmp_path: Path) -> None:
    """A model file that is not the expected one is never loaded."""
    folder = make_folder(tmp_path / "model", "bert")
    with pytest.raises(DamagedError, match="checksum"):
        Embedder.load(Settings(embedding_model=str(folder), embedding_sha256="0" * 64))
    sha256 = Embedder.load(Settings(embedding_model=str(folder))).files.sha256
    assert Embedder.load(Settings(embedding_model=str(folder), embedding_sha256=sha256.upper())).dimension == 32


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_needed_file_is_explained(tmp_path: Path, missing: str) -> None:
    """A model that cannot be loaded gives a message that names the file; weights are never unpickled."""
    folder = make_folder(tmp_path / "model", "bert")
    (folder / missing).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnavailableError, match=missing):
        Embedder.load(Settings(embedding_model=str(folder)))


def test_a_broken_configuration_is_explained(tmp_path: Path) -> None:
    """Nonsense in a model's JSON becomes an error with a hint."""
    folder = make_folder(tmp_path / "model", "bert")
    (folder / "config.json").write_text("{")
    with pytest.raises(DamagedError, match=r"config\.json"):
        Embedder.load(Settings(embedding_model=str(folder)))


def test_weights_that_were_cut_off_are_told_of(tmp_path: Path) -> None:
    """A model file that lost its end, with no checksum to tell, is a damaged file and not a defect of ours."""
    folder = make_folder(tmp_path / "model", "bert")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DamagedError, match="damaged or incomplete"):
        Embedder.load(Settings(embedding_model=str(folder)))


def test_loading_needs_neither_transformers_nor_network() -> None:
    """The bundled model comes up without the libraries that cost most memory."""
    script = (
        "import sys, socket\n"
        "def refuse(*_): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from services.knowledge.embedding import Embedder\n"
        "from services.core.settings import Settings\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "embedder = Embedder.load(Settings())\n"
        "embedder.embed_chunks(['a', 'b'])\n"
        "embedder.close()\n"
        "heavy = {'torch', 'onnx', 'transformers', 'sentence_transformers', 'scipy', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[3]
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert completed.stdout.strip() == "[]"
    assert not completed.stderr.strip()


def test_what_is_held_is_told(embedder: Embedder) -> None:
    """The registry sees one model with the bytes of its weights and how often one was loaded."""
    held = embedder.memory_report()
    parameters = 10_844_928  # all but the vocabulary's and the pooler's
    assert parameters < held.bytes < 1.1 * parameters  # 8 bits, with their scales and the exact channels
    before = held.loads
    Embedder.load(Settings()).close()
    assert embedder.memory_report().loads == before + 1


def test_no_gradients_are_kept() -> None:
    """The model runs in inference mode: none of its tensors can take part in a graph."""
    encoder = BertEncoder.load(find_model(MINILM, ""), torch.device("cpu"), torch.float32)
    assert not isinstance(encoder._words, Int8Rows)
    assert not encoder._words.requires_grad
    assert encoder._words.is_inference()


def test_few_sizes_reach_the_processor_library() -> None:
    """Whatever the lengths of texts, rows are rounded to few sizes, each of which costs memory for good."""
    sizes = {_rows(tokens) for tokens in range(1, embedder_module.CPU_BATCH_TOKENS + 1)}
    assert len(sizes) <= 20
    assert all(_rows(tokens) >= tokens for tokens in range(1, 2000))


def test_progress_is_told_and_ends_at_the_number_of_texts(embedder: Embedder) -> None:
    """Progress grows and covers every text; nothing is embedded for no texts."""
    told: list[int] = []
    embedder.embed_chunks(TEXTS, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(TEXTS)
    assert embedder.embed_chunks([]).shape == (0, 384)


def test_windows_keep_the_order(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are sorted by length and embedded in pieces, and every vector comes back at its text's place."""
    whole = embedder.embed_chunks(TEXTS)
    monkeypatch.setattr(embedder_module, "WINDOW_TEXTS", 4)
    # In 8 bits, texts that are computed together share a scale.
    assert ((whole * embedder.embed_chunks(TEXTS)).sum(axis=1) > 0.99).all()


def test_cancelling_stops_between_batches(embedder: Embedder) -> None:
    """A cancelled job stops after the batches under way and raises; the embedder goes on working."""
    told: list[int] = []
    with pytest.raises(CancelledError):
        embedder.embed_chunks(TEXTS * 20, cancelled=lambda: bool(told), on_progress=told.append)
    assert told[-1] < len(TEXTS) * 20
    assert embedder.embed_chunks(TEXTS[:1]).shape == (1, 384)


def test_a_question_passes_a_batch_that_is_running(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a question is answered a batch stands still in mid-pass, and ends when the question is done."""
    under_way, go_on = threading.Event(), threading.Event()
    steps: list[str] = []
    forward, forward_together = OnnxEncoder.forward, OnnxEncoder.forward_together

    def watched(encoder: OnnxEncoder, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> np.ndarray:
        def step() -> None:
            under_way.set()
            assert go_on.wait(DEADLINE_SECONDS)
            yield_turn()
            steps.append("batch")

        return forward(encoder, sequences, step)

    def asked(encoder: OnnxEncoder, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        steps.append("question")
        return forward_together(encoder, sequences)

    monkeypatch.setattr(OnnxEncoder, "forward", watched)
    monkeypatch.setattr(OnnxEncoder, "forward_together", asked)
    batch = threading.Thread(target=embedder.embed_chunks, args=(["a text that takes its time"],))
    batch.start()
    assert under_way.wait(DEADLINE_SECONDS)
    with embedder.urgent():
        go_on.set()
        vector = embedder.embed_query("what is first?")
        assert vector.shape == (384,)
        assert set(steps) == {"question"}
    batch.join(DEADLINE_SECONDS)
    assert "batch" in steps
    assert steps.index("batch") == steps.count("question")


def test_scripts_that_the_tokenizer_does_not_know_are_measured(embedder: Embedder) -> None:
    """The share of unknown tokens is about none for English and all for a script outside the vocabulary."""
    assert embedder.unknown_share("The mill pond lies still.") == 0.0
    assert embedder.unknown_share("ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ") == 1.0
    assert embedder.unknown_share("") == 0.0
    assert 0 < embedder.unknown_share("half ᏣᎳᎩ") < 1


def test_langchain_sees_the_same_vectors(embedder: Embedder) -> None:
    """The LangChain face is a face: same numbers, plain lists."""
    face = LangChainEmbeddings(embedder)
    assert face.embed_query("wheel") == embedder.embed_query("wheel").tolist()
    assert np.allclose(face.embed_documents(["wheel", "stone"]), embedder.embed_chunks(["wheel", "stone"]), atol=1e-3)


def test_questions_of_one_moment_get_the_vectors_they_get_alone(tmp_path: Path) -> None:
    """Texts of several lengths that are computed together do not see each other, whatever the pooling."""
    for pooling in ("mean", "cls"):
        folder = make_folder(tmp_path / pooling, "bert", pooling=pooling)
        embedder = Embedder.load(
            Settings(data_dir=tmp_path, embedding_model=str(folder), embedding_precision="float32")
        )
        together = embedder._encode_questions([text.strip() for text in TEXTS])
        alone = np.stack([embedder.embed_query(text) for text in TEXTS])
        assert np.allclose(together, alone, atol=1e-5)
        embedder.close()
