"""What goes into the layers of an encoder and comes out of them: embeddings of tokens, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.knowledge.embedding.engine.bert_weights import Array, Norm


@dataclass(frozen=True, slots=True)
class TokenEmbeddings:
    """The tables that tokens are looked up in; `words` may be a mapped file, of which touched rows become resident.

    `first_position` is the row of a text's first token.
    """

    words: NDArray[np.float16] | Array
    positions: Array
    norm: Norm
    epsilon: float
    first_position: int

    def embedded(self, sequences: Sequence[Sequence[int]]) -> Array:
        """Return the embeddings of sequences of one length, float32 (sequences, tokens, d)."""
        tokens = np.asarray(sequences, dtype=np.int64)
        first = self.first_position
        hidden = self.words[tokens].astype(np.float32)
        hidden += self.positions[first : first + tokens.shape[1]]
        hidden -= hidden.mean(axis=-1, keepdims=True)
        hidden /= np.sqrt(np.square(hidden).mean(axis=-1, keepdims=True) + self.epsilon)
        hidden *= self.norm.scale
        hidden += self.norm.shift
        return hidden


def pooled(encoded: Array, *, mean: bool) -> Array:
    """Return one vector for each sequence: the mean of its tokens, or its first; float32 (sequences, d)."""
    vectors: Array = encoded.mean(axis=1) if mean else encoded[:, 0]
    return vectors
