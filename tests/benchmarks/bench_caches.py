"""What the caches save: a question asked again, over the same question asked for the first time."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.server import Server, paragraphs, percentile, questions, serve
from tests.benchmarks.table import Row

ASKED = 100


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), cached=True) as server:
        server.upload([(f"paragraph-{i}.txt", text.encode()) for i, text in enumerate(paragraphs("en"))])
        server.wait_idle()
        asked = list(itertools.islice(questions("en"), 30 + 2 * ASKED))
        for question in asked[:30]:  # warm up with others
            _answer(server, question)
            _search(server, question)
        first, second = asked[30 : 30 + ASKED], asked[30 + ASKED :]
        return [
            _row("quoted answer from the cache over answered anew (p50)", _answer, server, first, 0.5),
            _row("search from the cache over searched anew (p50)", _search, server, second, 0.8),
            _vectors(server, first),
        ]


def _vectors(server: Server, known: list[str]) -> Row:
    """A search whose vector is known and whose result is not: other k, so that only the vector comes from a cache."""
    with_vector = [_timed(lambda q=q: _search(server, q, 7)) for q in known]
    fresh = [f"{question} {number}?" for number, question in enumerate(known)]
    without = [_timed(lambda q=q: _search(server, q, 7)) for q in fresh]
    a, b = percentile(with_vector, 0.5), percentile(without, 0.5)
    return Row(
        "search with a remembered vector over embedded anew (p50)",
        a / b,
        1.0,
        at_least=False,
        detail=f"{a:.1f} ms over {b:.1f} ms",
    )


def _row(name: str, ask: Callable[[Server, str], None], server: Server, asked: list[str], target: float) -> Row:
    misses = [_timed(lambda q=q: ask(server, q)) for q in asked]
    hits = [_timed(lambda q=q: ask(server, q)) for q in asked]
    miss, hit = percentile(misses, 0.5), percentile(hits, 0.5)
    p95 = f"p95 {percentile(hits, 0.95):.1f} over {percentile(misses, 0.95):.1f} ms"
    rates = {one["name"]: one for one in server.client.get("/api/caches").json()}
    figures = ", ".join(f"{key} {one['hits']}/{one['hits'] + one['misses']}" for key, one in rates.items())
    return Row(
        name,
        hit / miss,
        target,
        at_least=False,
        detail=f"{hit:.1f} ms over {miss:.1f} ms; {p95}; hits {figures}",
    )


def _answer(server: Server, question: str) -> None:
    body = {"messages": [{"role": "user", "content": question}]}
    server.client.post("/v1/chat/completions", json=body).raise_for_status()


def _search(server: Server, question: str, k: int = 5) -> None:
    server.client.post("/api/search", json={"query": question, "k": k}).raise_for_status()


def _timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
