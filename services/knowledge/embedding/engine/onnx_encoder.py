"""A BERT-like encoder computed by ONNX Runtime from prepared weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from services.knowledge.embedding.engine.bert_input import (
    PackedWordFile,
    TokenEmbeddings,
    WordFile,
    kept_apart,
    pooled,
    pooled_apart,
)
from services.knowledge.embedding.engine.bert_weights import Array, Norm
from services.knowledge.embedding.engine.prepared_model import LAYERS, SMALL, WORDS, PreparedModel
from services.knowledge.embedding.engine.session import ALONE, APART, INPUT, OUTPUT, open_session
from services.knowledge.embedding.model_files import ModelFiles

# Most tokens that are computed together before a question may go first: some 20 ms.
MOST_TOKENS = 256
# Most tokens of questions that are computed together: a pass over the weights costs as much as its tokens do from some
# 30 of them on, and attention to the tokens of others costs more and more.
JOINED_TOKENS = 96


class OnnxEncoder:
    """A session over the layers, and the tables of tokens, of which the vocabulary stays in its file. Thread-safe."""

    on_cpu = True

    def __init__(self, files: ModelFiles, model: PreparedModel) -> None:
        """Open the session over sound weights."""
        self._mean = files.pooling == "mean"
        with np.load(model.folder / SMALL, allow_pickle=False) as small:
            self._embeddings = TokenEmbeddings(
                _words(files, model, small).rows,
                small["positions"],
                Norm(small["scale"], small["shift"]),
                float(small["epsilon"]),
                files.first_position,
            )
        self.dimension = int(self._embeddings.positions.shape[1])
        self._session = open_session(model.folder / LAYERS)
        self.bytes = (model.folder / LAYERS).stat().st_size  # the vocabulary stays in its file

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return none: ONNX Runtime tells no addresses."""
        return ()

    def forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Array:
        """Return the pooled vectors of token id sequences, float32 (n, d), not normalised.

        `yield_turn` is called between runs of sequences of one length.
        """
        vectors = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for places in _runs([len(sequence) for sequence in sequences]):
            yield_turn()
            vectors[places] = self._run([sequences[place] for place in places])
        return vectors

    def forward_together(self, sequences: Sequence[Sequence[int]]) -> Array:
        """As `forward`, with short sequences of several lengths in one pass over the weights.

        In 8 bits a vector then depends a little on its company (cosine .998), since activations are rounded by one
        scale for all: good enough to ask with, not to store.
        """
        vectors = np.empty((len(sequences), self.dimension), dtype=np.float32)
        for places in _joined_runs([len(sequence) for sequence in sequences]):
            vectors[places] = self._run([sequences[place] for place in places])
        return vectors

    def _run(self, sequences: Sequence[Sequence[int]]) -> Array:
        lengths = [len(sequence) for sequence in sequences]
        if len(set(lengths)) == 1:
            found = self._session.run([OUTPUT], {INPUT: self._embeddings.embedded(sequences), APART: ALONE})[0]
            return pooled(found, mean=self._mean)
        joined = {INPUT: self._embeddings.joined(sequences), APART: kept_apart(lengths)}
        return pooled_apart(self._session.run([OUTPUT], joined)[0], lengths, mean=self._mean)


def _words(files: ModelFiles, model: PreparedModel, small: Mapping[str, Any]) -> WordFile | PackedWordFile:
    width = int(small["positions"].shape[1])
    if files.packed:
        return PackedWordFile(files.weights, width, int(small["words_at"]))
    return WordFile(model.folder / WORDS, width)


def _runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield positions of sequences of one length, at most `MOST_TOKENS` tokens of them, or a single longer one."""
    for length, group in groupby(sorted(range(len(lengths)), key=lengths.__getitem__), key=lengths.__getitem__):
        places = list(group)
        most = max(1, MOST_TOKENS // max(length, 1))
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _joined_runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield positions of sequences, the shortest first, at most `JOINED_TOKENS` tokens of them or a single one."""
    joined: list[int] = []
    tokens = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if joined and tokens + lengths[place] > JOINED_TOKENS:
            yield joined
            joined, tokens = [], 0
        joined.append(place)
        tokens += lengths[place]
    if joined:
        yield joined
