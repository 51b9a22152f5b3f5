"""A BERT-like encoder computed by ONNX Runtime from prepared weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from services.knowledge.embedding.engine.bert_input import PackedWordFile, TokenEmbeddings, WordFile, pooled
from services.knowledge.embedding.engine.bert_weights import Array, Norm
from services.knowledge.embedding.engine.prepared_model import LAYERS, SMALL, WORDS, PreparedModel
from services.knowledge.embedding.engine.session import INPUT, OUTPUT, open_session
from services.knowledge.embedding.model_files import ModelFiles

# Most tokens that are computed together before a question may go first: some 20 ms.
MOST_TOKENS = 256


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
        for places in _runs(sequences):
            yield_turn()
            embedded = self._embeddings.embedded([sequences[place] for place in places])
            encoded = self._session.run([OUTPUT], {INPUT: embedded})[0]
            vectors[places] = pooled(encoded, mean=self._mean)
        return vectors


def _words(files: ModelFiles, model: PreparedModel, small: Mapping[str, Any]) -> WordFile | PackedWordFile:
    width = int(small["positions"].shape[1])
    if files.packed:
        return PackedWordFile(files.weights, width, int(small["words_at"]))
    return WordFile(model.folder / WORDS, width)


def _runs(sequences: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield positions of sequences of one length, at most `MOST_TOKENS` tokens of them, or a single longer one."""
    ordered = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    for length, group in groupby(ordered, key=lambda place: len(sequences[place])):
        places = list(group)
        most = max(1, MOST_TOKENS // max(length, 1))
        for start in range(0, len(places), most):
            yield places[start : start + most]
