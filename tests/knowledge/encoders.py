"""Embedders that are made up for tests."""

from __future__ import annotations

import zlib
from concurrent.futures import Future
from contextlib import nullcontext

import numpy as np

from services.core.errors import CancelledError
from services.knowledge.text.terms import terms


class Multilingual:
    """Knows every script equally: words, or pairs of characters, hashed into a vector."""

    dimension = 512
    fingerprint = "hashing"

    def embed_query(self, text):
        vector = np.full(self.dimension, 1e-3, np.float32)
        for term in terms(text):
            vector[zlib.crc32(term.encode()) % self.dimension] += 1
        return vector / np.linalg.norm(vector)

    def begin_queries(self, texts):
        begun = []
        for text in texts:
            begun.append(Future())
            begun[-1].set_result(self.embed_query(text))
        return begun

    def embed_chunks(self, texts, *, cancelled=lambda: False):
        if cancelled():
            raise CancelledError("cancelled")
        return np.stack([self.embed_query(text) for text in texts])

    def urgent(self):
        return nullcontext()

    def unknown_share(self, _text):
        return 0.0

    def token_count(self, text):
        return len(text) // 3 + 1
