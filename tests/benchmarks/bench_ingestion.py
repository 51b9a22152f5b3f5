"""Whole ingestion (parse, chunk, embed, store, index) against embedding alone, on the same chunks."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

from services.app.container import Services
from services.app.startup import Application
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.benchmarks.server import text_files
from tests.benchmarks.table import Row

FILES = 60
TURNS = 3


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, Application(Settings(data_dir=Path(folder))) as services:
        turns = [one_turn(services, seed) for seed in range(TURNS + 1)][1:]  # the first one warms up
    ratio, whole, alone = sorted(turns)[len(turns) // 2]
    return [
        Row(
            "whole ingestion over embedding alone, chunks a second",
            ratio,
            0.85,
            at_least=True,
            detail=f"{whole:.1f} over {alone:.1f} chunks/s; median of {TURNS}",
        )
    ]


def one_turn(services: Services, seed: int) -> tuple[float, float, float]:
    """Ingest `FILES` files, then embed the same chunks alone; return the ratio and both rates in chunks/s."""
    started = time.perf_counter()
    intakes = [
        services.library.add(SERVICE, io.BytesIO(data), name) for name, data in text_files(FILES, 40, seed=100 + seed)
    ]
    services.ingestion.wait_idle(timeout=600)
    whole_seconds = time.perf_counter() - started
    texts = [
        chunk.text
        for intake in intakes
        for chunk in services.library.reader.chunks(SERVICE, intake.document.id, limit=1000)
    ]
    started = time.perf_counter()
    services.embedder.embed_chunks(texts)
    alone_seconds = time.perf_counter() - started
    whole, alone = len(texts) / whole_seconds, len(texts) / alone_seconds
    return whole / alone, whole, alone
