"""Native memory: FAISS, numpy, torch, tokenizers, malloc itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from services.app.container import Services
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding.model_files import find_model
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, text

_indexes: list[Any] = []
_refreshers: list[Callable[[], float]] = []
_encodings: dict[int, Any] = {}
_totals: dict[str, Any] = {}


def _index(number: int) -> Any:
    import faiss
    import numpy as np

    index = faiss.IndexFlatIP(384)
    index.add(np.random.default_rng(number).random((400, 384), dtype=np.float32))
    return index


def rebuilt_indexes(_services: Services) -> Step:
    """An index is built anew after a change, and the old one stays in a list (faiss issues 1350, 2131)."""

    def step(number: int) -> None:
        if number % 2 == 0:
            _indexes.append(_index(number))

    return step


def disowned_index(_services: Services) -> Step:
    """An index that was handed to C++ with this.disown() and that nobody deletes (faiss issue 581)."""

    def step(number: int) -> None:
        if number % 2 == 0:
            _index(number).this.disown()

    return step


def lost_malloc(_services: Services) -> Step:
    """A C library that forgets to free its buffers."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]

    def step(_number: int) -> None:
        for _ in range(20):
            ctypes.memset(library.malloc(8_000), 1, 8_000)

    return step


def arrays_in_closures(_services: Services) -> Step:
    """Functions kept for later, each with the array that it closes over."""
    import numpy as np

    def step(number: int) -> None:
        scores = np.random.default_rng(number).random(40_000)
        _refreshers.append(lambda: float(scores.mean()))

    return step


def graph_of_losses(_services: Services) -> Step:
    """`total += loss` keeps the graph of every step (PyTorch FAQ, "My model reports out of memory")."""
    import torch

    weights = torch.zeros(30_000, requires_grad=True)
    _totals["loss"] = torch.zeros(())

    def step(number: int) -> None:
        batch = torch.full((30_000,), float(number))
        _totals["loss"] = _totals["loss"] + ((weights * batch) ** 2).sum()

    return step


def encodings(services: Services) -> Step:
    """Encodings of the tokenizer kept by document: small in Python, big in Rust (tokenizers issues 1539, 1495)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_model(MINILM, "").tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def step(number: int) -> None:
        _encodings[number] = tokenizer.encode(text(number, 6_000))

    return step


_NATIVE = ("native",)

SCENARIOS = (
    Scenario(
        "FAISS indexes rebuilt and kept",
        rebuilt_indexes,
        LeakKind.NATIVE,
        ("_indexes", "IndexFlat", *_NATIVE),
        per_step=307_000,
    ),
    Scenario("FAISS index disowned", disowned_index, LeakKind.NATIVE, _NATIVE, per_step=307_000),
    Scenario("malloc without free", lost_malloc, LeakKind.NATIVE, _NATIVE, per_step=160_000),
    Scenario(
        "arrays in closures",
        arrays_in_closures,
        LeakKind.NATIVE,
        ("_refreshers", "ndarray", *_NATIVE),
        per_step=320_000,
    ),
    Scenario("graph of torch losses", graph_of_losses, LeakKind.NATIVE, ("Tensor", *_NATIVE), per_step=241_000),
    Scenario(
        "encodings of the tokenizer", encodings, LeakKind.NATIVE, ("_encodings", "Encoding", *_NATIVE), per_step=221_000
    ),
)
