"""One pond on SQLite, moved to PostgreSQL: the same results, a question's time, what moving it takes."""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from services.app.container import Services
from services.app.pond_migration import migrate_pond
from services.app.startup import Application
from services.core.actor import SERVICE
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from tests.benchmarks.bench_scale import fill
from tests.benchmarks.server import Server, paragraphs, percentile, questions, serve
from tests.benchmarks.table import Row
from tests.postgres_server import postgres_server

CHUNKS = 10_000
UPLOAD = 40
ASKED = 300
HITS = 10


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as name, postgres_server("fsync=on", "shared_buffers=256MB") as postgres:
        folder = Path(name)
        on_file = Settings(data_dir=folder, answer_cache_mb=0)
        on_server = on_file.model_copy(update={"database_url": postgres.url})
        with Application(on_file) as services:
            fill(services, services.library.default_collection(SERVICE).id, services.embedder.fingerprint, CHUNKS)
        with serve(folder) as server:
            for language in ("en", "zh"):
                files = [
                    (f"{language} {number}.txt", text.encode()) for number, text in enumerate(paragraphs(language))
                ]
                for start in range(0, len(files), UPLOAD):
                    server.upload(files[start : start + UPLOAD])
            server.wait_idle()
        moved = migrate_pond(on_file, postgres.url, lambda _what, _done, _total: None)
        rows = [
            Row(
                "documents a second that `millpond migrate` moves to PostgreSQL",
                moved.documents / moved.seconds,
                500,
                at_least=True,
                detail=f"{moved.documents} documents, {moved.rows} rows compared one by one in {moved.seconds:.1f} s",
            )
        ]
        results = [found(settings) for settings in (on_file, on_server)]
        rows += [_equal(results, language) for language in ("en", "zh")]
        rows += shares(on_server)
        return [*rows, *compared(folder, postgres.url), *while_backing_up(folder, postgres.url)]


def found(settings: Settings) -> dict[str, list[object]]:
    """Return what each question of either language finds and quotes."""
    with Application(settings) as services:
        return {
            f"{language} {question}": _results(services, question)
            for language in ("en", "zh")
            for question in questions(language)
        }


def _results(services: Services, question: str) -> list[object]:
    result = services.retriever.search(SERVICE, question, k=HITS)
    quotes = services.retriever.quotes(question, result, 3)
    return [*((hit.chunk_id, round(hit.score, 6)) for hit in result.hits), *(quote.text for quote in quotes)]


def _equal(results: list[dict[str, list[object]]], language: str) -> Row:
    asked = [question for question in results[0] if question.startswith(language)]
    same = sum(results[0][question] == results[1][question] for question in asked)
    return Row(
        f"questions with the same hits, scores and quotes on PostgreSQL as on SQLite, XQuAD {language}",
        same / len(asked),
        1.0,
        at_least=True,
        detail=f"{same} of {len(asked)}, the first {HITS}",
    )


def compared(folder: Path, url: str) -> list[Row]:
    """Ask two servers in turns, the one over the file and the one over PostgreSQL."""
    asked = random.Random(7).sample([*questions("en"), *questions("zh")], ASKED)
    other = folder / "other"
    other.mkdir()
    with serve(folder) as first, serve(other, database_url=url) as second:
        rows = []
        for what, ask in (("search", Server.search_ms), ("question with its answer stored", _answer_ms)):
            times: dict[Server, list[float]] = {}
            for question in [*asked[:20], *asked]:
                for server in (first, second):
                    times.setdefault(server.client, []).append(ask(server, question))
            on_file, on_server = (each[20:] for each in times.values())
            rows.append(
                Row(
                    f"{what}: p50 on PostgreSQL over SQLite, {CHUNKS:,} chunks",
                    statistics.median(on_server) / statistics.median(on_file),
                    1.3,
                    at_least=False,
                    detail=f"{statistics.median(on_server):.1f} over {statistics.median(on_file):.1f} ms; p95 "
                    f"{percentile(on_server, 0.95):.1f} over {percentile(on_file, 0.95):.1f} ms",
                )
            )
    return rows


def while_backing_up(folder: Path, url: str) -> list[Row]:
    """Ask a server over PostgreSQL before and while a command makes backups of all of it."""
    node, asked = folder / "backed-up", random.Random(8).sample([*questions("en"), *questions("zh")], ASKED)
    node.mkdir()
    with serve(node, database_url=url, backup_destination=str(folder / "backups"), backup_hours="0") as server:
        for question in asked[:50]:
            server.search_ms(question)
        quiet, beside, copied = [], [], []
        for _round in range(3):
            quiet += [server.search_ms(question) for question in asked[: ASKED // 3]]
            server.client.post("/api/backups").raise_for_status()
            for question in itertools.cycle(asked):
                beside.append(server.search_ms(question))
                if server.client.get("/api/backups").json()["stage"] == "idle":
                    break
            copied.append(server.client.get("/api/backups").json()["generations"][0]["copied"] / MEGABYTE)
    return [
        Row(
            "question p95 while a backup of PostgreSQL is made over p95 without",
            percentile(beside, 0.95) / percentile(quiet, 0.95),
            1.5,
            at_least=False,
            detail=f"{percentile(beside, 0.95):.1f} over {percentile(quiet, 0.95):.1f} ms, {len(beside)} questions; "
            f"MB that the backups added: {', '.join(f'{each:.1f}' for each in copied)}",
        )
    ]


def _answer_ms(server: Server, question: str) -> float:
    started = time.perf_counter()
    body = {"model": "millpond", "messages": [{"role": "user", "content": question}]}
    server.client.post("/v1/chat/completions", json=body).raise_for_status()
    return (time.perf_counter() - started) * 1000


def shares(settings: Settings) -> list[Row]:
    """Return which share of a question is spent waiting for PostgreSQL."""
    asked = random.Random(9).sample([*questions("en"), *questions("zh")], ASKED)
    with Application(settings) as services:
        for question in asked[:20]:
            services.retriever.search(SERVICE, question)
        with _timed(services) as spent:
            began = time.perf_counter()
            for question in asked:
                result = services.retriever.search(SERVICE, question)
                services.retriever.quotes(question, result, 3)
            seconds = time.perf_counter() - began
    return [
        Row(
            "share of a question that is spent in PostgreSQL",
            sum(spent) / seconds,
            0.1,
            at_least=False,
            detail=f"{1000 * sum(spent) / ASKED:.1f} of {1000 * seconds / ASKED:.1f} ms, {len(spent) / ASKED:.1f} "
            "statements a question",
        )
    ]


@contextmanager
def _timed(services: Services) -> Iterator[list[float]]:
    """Yield the seconds that each statement takes."""
    spent: list[float] = []
    began = 0.0

    def before(*_arguments: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def after(*_arguments: object) -> None:
        spent.append(time.perf_counter() - began)

    engine = services.database.engine
    reader = services.database._reader
    for each in (engine, reader):
        sa.event.listen(each, "before_cursor_execute", before)
        sa.event.listen(each, "after_cursor_execute", after)
    try:
        yield spent
    finally:
        for each in (engine, reader):
            sa.event.remove(each, "before_cursor_execute", before)
            sa.event.remove(each, "after_cursor_execute", after)
