"""The service under work: questions during ingestion, and memory over rounds of upload and deletion."""

from __future__ import annotations

import itertools
import tempfile
import threading
from pathlib import Path

from tests.benchmarks.server import Server, paragraphs, pdf_file, percentile, questions, serve, text_files
from tests.benchmarks.table import Row

MB = 1_000_000
ROUNDS = 5
ROUND_FILES = 100
FILE_MB = 2.0


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        return [questions_during_ingestion(server), memory_over_rounds(server)]


def questions_during_ingestion(server: Server) -> Row:
    """Question p95 while 200 files are ingested, over p95 when idle."""
    server.upload([(f"paragraph-{i}.txt", text.encode()) for i, text in enumerate(paragraphs("en"))])
    server.wait_idle()
    asked = itertools.cycle(questions("en"))
    for _ in range(50):
        server.search_ms(next(asked))
    idle = [server.search_ms(next(asked)) for _ in range(400)]

    done = threading.Event()

    def upload() -> None:
        server.upload(text_files(200, sentences=40, seed=1))
        server.wait_idle()
        done.set()

    uploader = threading.Thread(target=upload)
    uploader.start()
    busy = []
    while not done.is_set():
        busy.append(server.search_ms(next(asked)))
    uploader.join()
    idle_p95, busy_p95 = percentile(idle, 0.95), percentile(busy, 0.95)
    return Row(
        "question p95 while 200 files are ingested over idle",
        busy_p95 / idle_p95,
        1.5,
        at_least=False,
        detail=f"{busy_p95:.0f} ms ({len(busy)} questions) over {idle_p95:.0f} ms",
    )


def memory_over_rounds(server: Server) -> Row:
    """RSS after five rounds of 200 MB uploaded and deleted, over RSS after the first."""
    after = []
    for number in range(ROUNDS):
        ids = []
        for start in range(0, ROUND_FILES, 10):
            files = [
                (f"report-{number}-{start + i}.pdf", pdf_file(number * 1000 + start + i, FILE_MB)) for i in range(10)
            ]
            ids += server.upload(files)
        server.wait_idle()
        for document in ids:
            server.client.delete(f"/api/documents/{document}").raise_for_status()
        after.append(server.rss())
        print(f"round {number + 1}: RSS {after[-1] / MB:.0f} MB", flush=True)
    return Row(
        "RSS after five rounds of 200 MB uploaded and deleted over after the first",
        after[-1] / after[0],
        1.05,
        at_least=False,
        detail=" → ".join(f"{rss / MB:.0f}" for rss in after) + " MB",
    )
