"""Embedding against `SentenceTransformer.encode` as shipped, on the same chunks in the same process, in turns."""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np
import torch

from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from tests.benchmarks.server import paragraphs
from tests.benchmarks.table import Row

CHUNKS = 192
WORDS_PER_CHUNK = 120
TURNS = 5


def run() -> list[Row]:
    threads = torch.get_num_threads()
    embedder = Embedder.load(Settings())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        library = SentenceTransformer(str(embedder.files.folder), device="cpu")
    texts = chunks()
    ratios, ours, theirs = [], [], []
    for turn in range(TURNS + 1):
        started = time.perf_counter()
        mine = embedder.embed_chunks(texts)
        ours.append(len(texts) / (time.perf_counter() - started))
        # The embedder computes with one core a thread; the library gets what it would have without us.
        torch.set_num_threads(threads)
        started = time.perf_counter()
        other = library.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        theirs.append(len(texts) / (time.perf_counter() - started))
        torch.set_num_threads(1)
        if turn:  # the first one warms up
            ratios.append(ours[-1] / theirs[-1])
    cosine = float((mine * np.asarray(other)).sum(axis=1).min())
    embedder.close()
    return [
        Row(
            "chunks embedded a second over SentenceTransformer.encode as shipped",
            statistics.median(ratios),
            1.2,
            at_least=True,
            detail=f"{statistics.median(ours[1:]):.0f} over {statistics.median(theirs[1:]):.0f} chunks/s; median of "
            f"{TURNS} turns, {min(ratios):.2f} to {max(ratios):.2f}; {embedder.memory_report().detail}, "
            f"least cosine {cosine:.4f}",
        )
    ]


def chunks() -> list[str]:
    words = " ".join(paragraphs("en")).split()
    return [" ".join(words[i * WORDS_PER_CHUNK : (i + 1) * WORDS_PER_CHUNK]) for i in range(CHUNKS)]
