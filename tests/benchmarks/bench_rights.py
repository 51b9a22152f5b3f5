"""Search for somebody who may read 1 % of 200,000 chunks: what exact search within these finds, and at what time.

The readable documents lie among the others, so that neither their ids nor their vectors are together. Also: whether a
missing document can be told from one that may not be read by the time that the answer takes.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from services.app.container import Services
from services.app.startup import Application
from services.core.actor import SERVICE, AccessLevel, Actor, CollectionRights, Role
from services.core.errors import NotFoundError
from services.core.settings import Settings
from services.knowledge.store.tables import documents
from services.knowledge.text.terms import query_terms
from tests.benchmarks.bench_scale import CHUNKS, CHUNKS_PER_DOCUMENT, DIMENSION, fill
from tests.benchmarks.server import percentile, questions
from tests.benchmarks.table import Row

SHARE = 100  # one document in so many may be read
QUESTIONS = 200
K = 10
TRIES = 2000

Vectors = NDArray[np.float32]


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), embedding_cache_mb=0, answer_cache_mb=0)
        with Application(settings) as services:
            mine = services.library.create_collection(SERVICE, "mine").id
            theirs = services.library.default_collection(SERVICE).id
            vectors = fill(services, theirs, services.embedder.fingerprint)
            with services.database.write() as connection:
                one_of_many = documents.c.id % SHARE == 1
                connection.execute(documents.update().where(one_of_many).values(collection_id=mine))
        who = Actor("reader", Role.USER, person_id=1, rights=CollectionRights({mine: AccessLevel.READ}))
        with Application(settings) as services:
            return [*searched(services, who, vectors), *missing(services, who)]


def searched(services: Services, who: Actor, vectors: Vectors) -> list[Row]:
    readable = np.flatnonzero((np.arange(CHUNKS) // CHUNKS_PER_DOCUMENT) % SHARE == 0)
    exact = faiss.IndexFlatIP(DIMENSION)
    exact.add(vectors[readable])
    asked = [question for pair in zip(questions("en"), questions("zh"), strict=True) for question in pair]
    asked = random.Random(5).sample(asked, QUESTIONS)
    index, groups = services.index.index, who.searched()
    found, wanted, strangers = 0, 0, 0
    restricted, unrestricted = [], []
    for question in [*asked[:20], *asked]:
        vector = services.embedder.embed_query(question)
        best = set((readable[exact.search(vector[None], K)[1][0]] + 1).tolist())
        near, _scores = index.search(vector, max(40, 4 * K), groups)
        order = np.argsort(-(vectors[near - 1] @ vector), kind="stable")[:K]
        found, wanted = found + len(best & set(near[order].tolist())), wanted + K
        for times, actor in ((unrestricted, SERVICE), (restricted, who)):
            started = time.perf_counter()
            result = services.retriever.search(actor, question, k=K)
            times.append((time.perf_counter() - started) * 1000)
        strangers += sum(hit.collection_id not in (groups or ()) for hit in result.hits)
    ours, all_of_it = percentile(restricted[20:], 0.95), percentile(unrestricted[20:], 0.95)
    lexical = lexical_recall(services, who, asked)
    return [
        Row(
            "recall@10 of exact search within 1 % of 200,000 chunks",
            found / wanted,
            0.99,
            at_least=True,
            detail=f"{len(readable)} of {CHUNKS} chunks, {QUESTIONS} questions; {strangers} hits of other collections",
        ),
        Row(
            "words: recall@10 of scoring every readable chunk by BM25",
            lexical,
            None,
            at_least=True,
            detail="all terms of the question in all readable chunks, against what lexical search finds",
        ),
        Row(
            "whole retrieval p95 within 1 % of 200,000 chunks over all of them",
            ours / all_of_it,
            1.2,
            at_least=False,
            detail=f"{ours:.1f} over {all_of_it:.1f} ms; p50 {percentile(restricted[20:], 0.5):.1f} over "
            f"{percentile(unrestricted[20:], 0.5):.1f} ms",
        ),
    ]


def lexical_recall(services: Services, who: Actor, asked: list[str]) -> float:
    lexical = services.retriever.lexical
    readable = [int(number) + 1 for number in range(CHUNKS) if (number // CHUNKS_PER_DOCUMENT) % SHARE == 0]
    found, wanted = 0, 0
    for question in asked[:60]:
        words = query_terms(question)
        scores = {chunk: sum(parts.values()) for chunk, parts in lexical.matches(readable, words).items()}
        best = sorted((chunk for chunk, score in scores.items() if score > 0), key=lambda each: (-scores[each], each))
        ours = list(lexical.find(words, K, who.searched()))
        found += len(set(best[:K]) & set(ours))
        wanted += min(K, len(best))
    return found / max(wanted, 1)


def missing(services: Services, who: Actor) -> list[Row]:
    """Compare how long it takes to refuse a document that may not be read with one that does not exist."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(TRIES):
        for exists in (True, False):
            document = 2 + number % 90 if exists else 10**9 + number
            times[exists].append(_seconds(lambda each=document: services.library.document(who, each)))
    ratio = statistics.median(times[True]) / statistics.median(times[False])
    return [
        Row(
            "time to refuse a document that may not be read over one that does not exist",
            max(ratio, 1 / ratio),
            1.05,
            at_least=False,
            detail=f"{statistics.median(times[True]) * 1e6:.0f} over {statistics.median(times[False]) * 1e6:.0f} "
            f"microseconds, medians of {TRIES} each",
        )
    ]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    try:
        call()
    except NotFoundError:
        return time.perf_counter() - started
    raise AssertionError("it was found")
