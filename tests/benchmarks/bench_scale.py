"""Whole retrieval at 200,000 chunks (question embedded, dense and lexical search, fusion, text fetched) against one raw
flat FAISS search over the same vectors."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from services.app.container import Services
from services.app.startup import Application
from services.core.actor import SERVICE
from services.core.settings import Settings
from services.knowledge.store.tables import chunks, counters, documents, revisions
from services.knowledge.text.terms import terms
from tests.benchmarks.server import paragraphs, percentile, questions
from tests.benchmarks.table import Row

CHUNKS = 200_000
CHUNKS_PER_DOCUMENT = 100
CHARACTERS = 830
DIMENSION = 384
QUESTIONS = 300


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), embedding_cache_mb=0, answer_cache_mb=0)
        with Application(settings) as services:
            fingerprint = services.embedder.fingerprint
            collection = services.library.default_collection(SERVICE).id
            vectors = fill(services, collection, fingerprint)
        with Application(settings) as services:
            return [compare(services, vectors)]


def compare(services: Services, vectors: NDArray[np.float32]) -> Row:
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(vectors)
    asked = [question for pair in zip(questions("en"), questions("zh"), strict=True) for question in pair]
    asked = random.Random(5).sample(asked, QUESTIONS)
    ours, raw = [], []
    for question in [*asked[:20], *asked]:
        vector = services.embedder.embed_query(question)[None, :]
        started = time.perf_counter()
        flat.search(vector, 10)
        raw.append((time.perf_counter() - started) * 1000)
        started = time.perf_counter()
        services.retriever.search(SERVICE, question, k=10)
        ours.append((time.perf_counter() - started) * 1000)
    ours_p95, raw_p95 = percentile(ours[20:], 0.95), percentile(raw[20:], 0.95)
    return Row(
        "whole retrieval p95 over raw flat FAISS p95, 200,000 chunks",
        ours_p95 / raw_p95,
        3.0,
        at_least=False,
        detail=f"{ours_p95:.0f} over {raw_p95:.0f} ms; p50 {percentile(ours[20:], 0.5):.0f} over "
        f"{percentile(raw[20:], 0.5):.0f} ms",
    )


def fill(services: Services, collection: int, fingerprint: str, count: int = CHUNKS) -> NDArray[np.float32]:
    """Write `count` chunks of real sentences with made-up vectors straight into the database."""
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((500, DIMENSION)).astype(np.float32)
    vectors = centres[chance.integers(0, 500, count)] + 0.8 * chance.standard_normal((count, DIMENSION)).astype(
        np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = _texts()
    now = datetime.now(UTC)
    with services.database.write() as connection:
        for number in range(1, count // CHUNKS_PER_DOCUMENT + 1):
            connection.execute(
                documents.insert().values(
                    id=number,
                    collection_id=collection,
                    name=f"document {number}",
                    enabled=True,
                    active_revision_id=number,
                    newest_revision_id=number,
                    created_at=now,
                    updated_at=now,
                )
            )
            connection.execute(
                revisions.insert().values(
                    id=number,
                    document_id=number,
                    version=1,
                    sha256=f"{number:064d}",
                    size_bytes=0,
                    stored="",
                    chunks=CHUNKS_PER_DOCUMENT,
                    chunk_tokens=200,
                    overlap=0,
                    fingerprint=fingerprint,
                    created_at=now,
                )
            )
            first = (number - 1) * CHUNKS_PER_DOCUMENT
            rows: list[dict[str, Any]] = [
                {
                    "id": first + i + 1,
                    "revision_id": number,
                    "position": i,
                    "tokens": 170,
                    "heading": [],
                    "vector": vectors[first + i].tobytes(),
                    "text": text,
                    "terms": words,
                }
                for i, (text, words) in ((i, next(texts)) for i in range(CHUNKS_PER_DOCUMENT))
            ]
            connection.execute(chunks.insert(), rows)
        connection.execute(counters.delete())
        connection.execute(counters.insert().values(name="chunk", value=count + 1))
        connection.execute(sa.text("INSERT INTO chunk_terms(chunk_terms) VALUES ('rebuild')"))
    return np.ascontiguousarray(vectors)


def _texts() -> Iterator[tuple[str, str]]:
    """Yield chunks of shuffled sentences with their terms; every fifth one is Chinese. Sentences are segmented once."""
    pools = []
    for language, ending in (("en", r"(?<=\.)\s+"), ("zh", r"(?<=。)")):
        sentences = [s for text in paragraphs(language) for s in re.split(ending, text) if len(s) > 15]
        pools.append([(sentence, " ".join(terms(sentence))) for sentence in sentences])
    chance = random.Random(4)
    number = 0
    while True:
        pool, length = (pools[1], CHARACTERS // 3) if number % 5 == 4 else (pools[0], CHARACTERS)
        picked: list[tuple[str, str]] = []
        while sum(len(sentence) for sentence, _ in picked) < length:
            picked.append(chance.choice(pool))
        yield " ".join(s for s, _ in picked), " ".join(t for _, t in picked)
        number += 1
