from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

from services.core.errors import UnavailableError
from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import Embedder
from services.knowledge.embedding import embedder as embedder_module
from services.knowledge.embedding.bert_encoder import Int8Rows, linear_int8
from services.knowledge.embedding.torch_device import Array, cap_gpu_memory, choose_dtype, computing
from services.knowledge.embedding.weights import Weights

TEXTS = [f"The mill wheel turns {number} times a minute." for number in range(40)]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    embedder = Embedder.load(Settings(embedding_model=MINILM))
    yield embedder
    embedder.close()


def test_released_weights_come_back_by_themselves(embedder: Embedder) -> None:
    """While they are away nothing is held; the next text gets the same vector as before."""
    before, loads = embedder.embed_query(TEXTS[0]), embedder.memory_report().loads
    size = embedder.memory_report().bytes
    assert embedder.release() == size
    assert embedder.memory_report().bytes == 0
    assert embedder.memory_report().ranges == ()
    assert embedder.release() == 0
    assert embedder.unknown_share("wheel") == 0.0  # the tokenizer stays
    assert np.allclose(embedder.embed_query(TEXTS[0]), before, atol=1e-6)
    assert (embedder.memory_report().bytes, embedder.memory_report().loads) == (size, loads + 1)


def test_they_go_only_after_their_idle_time(embedder: Embedder) -> None:
    """0 minutes means never."""
    embedder.embed_query(TEXTS[0])
    assert embedder.release_idle(0) == 0
    assert embedder.release_idle(60) == 0
    embedder._weights._last_use -= 3601
    assert embedder.release_idle(60) > 0


def test_weights_in_use_stay(embedder: Embedder) -> None:
    """A release in the middle of a batch must not take the ground from under it."""
    with embedder._weights.in_use():
        assert embedder.release() == 0
    assert embedder.release() > 0


def test_many_threads_read_released_weights_once(embedder: Embedder) -> None:
    """Eight questions after a release do not load eight models."""
    embedder.release()
    loads = embedder.memory_report().loads
    threads = [threading.Thread(target=embedder.embed_query, args=(text,)) for text in TEXTS[:8]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert embedder.memory_report().loads == loads + 1


def test_eight_bits_take_a_quarter_and_find_the_same() -> None:
    """Vectors of any precision share one index: they must agree with those of float32."""
    vectors, sizes = {}, {}
    for precision in ("float32", "int8"):
        embedder = Embedder.load(Settings(embedding_model=MINILM, embedding_precision=precision))
        vectors[precision], sizes[precision] = embedder.embed_chunks(TEXTS), embedder.memory_report().bytes
        fingerprint = embedder.fingerprint
        embedder.close()
    assert (vectors["float32"] * vectors["int8"]).sum(axis=1).min() > 0.99
    assert sizes["int8"] < 0.28 * sizes["float32"]
    other = Embedder.load(Settings(embedding_model=MINILM))
    assert other.fingerprint == fingerprint
    other.close()


def test_rows_in_eight_bits_are_close() -> None:
    """Each row has its own scale, also one of zeros."""
    matrix = torch.randn(6, 32) * torch.tensor([[0.001], [1.0], [100.0], [0.0], [5.0], [0.1]])
    rows = Int8Rows(matrix)
    assert torch.allclose(rows.dequantised(torch.float32), matrix, atol=0, rtol=0.0) or bool(
        ((rows.dequantised(torch.float32) - matrix).abs().amax(1) <= matrix.abs().amax(1) / 200).all()
    )
    assert torch.equal(rows.select(torch.tensor([2, 0])), rows.dequantised(torch.float32)[[2, 0]])
    layer = linear_int8(matrix, torch.ones(6))
    x = torch.randn(3, 32)
    assert torch.allclose(layer(x), x @ rows.dequantised(torch.float32).T + 1, atol=1e-4)


class Crammed:
    """An encoder on a GPU that has room for so many sequences."""

    dimension = 4
    on_cpu = True
    bytes = 0

    def __init__(self, room: int) -> None:
        self.room = room

    def ranges(self) -> tuple[tuple[int, int], ...]:
        return ()

    def forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Array:  # noqa: ARG002 - the protocol has it
        with computing():
            if len(sequences) > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return np.array([[len(sequence), 1.0, 0.0, 0.0] for sequence in sequences], dtype=np.float32)


def crammed(embedder: Embedder, room: int) -> Embedder:
    return Embedder(embedder.files, Crammed(room), embedder._tokenizer, threads=1, detail="")


def test_a_full_gpu_gets_smaller_batches(embedder: Embedder) -> None:
    """What does not fit in one batch is done in halves, each text still getting its own vector."""
    small, large = crammed(embedder, 3), crammed(embedder, 1000)
    texts = ["word " * number for number in range(1, 30)]
    assert np.allclose(small.embed_chunks(texts), large.embed_chunks(texts))
    assert small._batch_tokens < large._batch_tokens
    small.close()
    large.close()


def test_a_gpu_without_room_for_one_text_says_so(embedder: Embedder) -> None:
    """The reader learns what to change; nothing crashes with a stack trace of CUDA."""
    none = crammed(embedder, 0)
    with pytest.raises(UnavailableError, match="GPU has no memory left") as caught:
        none.embed_chunks(TEXTS)
    assert "MILLPOND_GPU_MEMORY_MB" in caught.value.hint
    none.close()


def test_the_gpu_cap_is_a_share_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is in MB, torch wants a fraction; without a GPU nothing is touched."""
    asked: list[float] = []

    class Card:
        total_memory = 8 * 1024**3

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: Card)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _device: asked.append(share))
    cap_gpu_memory(torch.device("cpu"), 1024)
    cap_gpu_memory(torch.device("cuda"), 0)
    assert asked == []
    cap_gpu_memory(torch.device("cuda"), 2048)
    cap_gpu_memory(torch.device("cuda"), 1_000_000)
    assert asked == [0.25, 1.0]


def test_a_gpu_computes_in_float16() -> None:
    """Half precision pays on every GPU, and float16 is the closer one."""
    assert choose_dtype("auto", torch.device("cuda")) is torch.float16
    assert choose_dtype("float32", torch.device("cuda")) is torch.float32
    assert choose_dtype("float16", torch.device("cpu")) is torch.float16


def test_an_encoder_that_cannot_be_read_again_stays() -> None:
    """Those that tests put in have no file."""
    weights = Weights(Crammed(1))
    assert weights.release() == 0
    assert embedder_module.MIN_BATCH_TOKENS > 0
