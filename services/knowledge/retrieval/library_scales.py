"""The scales of cosines in this library, by model: of single sentences, and of its passages."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.knowledge.retrieval.cosine_scale import CosineScale, measure_scale
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.text.scripts import main_script

if TYPE_CHECKING:
    from services.knowledge.retrieval.encoder_cache import TextEncoder

Vectors = NDArray[np.float32]
DOCUMENTS_SAMPLED = 240  # of the library, to measure it
# Adapted, and measured, anew once so much of the library has changed.
CHANGED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Adapted:
    """A scale that was adapted when the library had so many passages."""

    scale: CosineScale
    passages: int

    def fits(self, passages: int) -> bool:
        """Whether the library has about as many still."""
        return abs(passages - self.passages) <= CHANGED_SHARE * self.passages


class LibraryScales:
    """What cosines mean, by model: the present one, and until nobody asks it any more the one before. Thread-safe."""

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._own: dict[str, CosineScale] = {}
        self._adapted: dict[str, _Adapted] = {}
        self._measuring = threading.RLock()

    def of(self, encoder: TextEncoder, passages: int) -> CosineScale:
        """Return what cosines mean in this library: measured once for a model, with a hundred short texts, and adapted
        once more than a tenth of the library's `passages` came or went.

        `encoder` stays the same meanwhile: it is a pinned one where another may take its place.
        """
        known = self._adapted.get(encoder.fingerprint)
        if known is not None and known.fits(passages):
            return known.scale
        with self._measuring:
            known = self._adapted.get(encoder.fingerprint)
            if known is not None and known.fits(passages):  # another search was quicker
                return known.scale
            return self._adapt(encoder, passages)

    def _adapt(self, encoder: TextEncoder, passages: int) -> CosineScale:
        """Measure the library, and the model where that was not done yet."""
        model = encoder.fingerprint
        own = self.own(encoder)
        before = {known: scale for known, scale in self._adapted.items() if known in self._own}
        adapted = own.adapted(self._some_passages(model))
        self._adapted = {**before, model: _Adapted(adapted, passages)}
        return adapted

    def own(self, encoder: TextEncoder) -> CosineScale:
        """Return what cosines of questions and single sentences mean, whatever is in the library."""
        own = self._own.get(encoder.fingerprint)
        if own is not None:
            return own
        with self._measuring:
            own = self._own.get(encoder.fingerprint)
            if own is None:
                own = measure_scale(
                    lambda texts: np.stack([vector.result() for vector in encoder.begin_queries(texts)]),
                    encoder.embed_chunks,
                )
                self._own = {**dict(list(self._own.items())[-1:]), encoder.fingerprint: own}
            return own

    def adapt(self, encoder: TextEncoder) -> None:
        """Measure the library anew."""
        with self._measuring:
            known = self._adapted.get(encoder.fingerprint)
            self._adapt(encoder, known.passages if known is not None else 0)

    def _some_passages(self, model: str) -> dict[str, Vectors]:
        """Return the model's vectors of some chunks of the library by script."""
        found: dict[str, list[Vectors]] = defaultdict(list)
        sizes = self._chunks.sizes()
        chance = random.Random(len(sizes))  # noqa: S311 - a sample, the same one for the same library
        chosen = chance.sample(sorted(sizes), min(DOCUMENTS_SAMPLED, len(sizes)))
        most = -(-DOCUMENTS_SAMPLED // max(len(chosen), 1))
        for text, vector in self._chunks.first_vectors(chosen, most, model):
            if script := main_script(text):
                found[script].append(vector)
        return {script: np.stack(vectors) for script, vectors in found.items()}
