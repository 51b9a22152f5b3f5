"""Parts of Millpond and of its libraries."""

from __future__ import annotations

import os
import random
import sys
import tracemalloc

import numpy as np

from services.core.memory_report import MemoryReport, Owner, Region
from services.memory.ledger.ledger import LedgerBuilder
from tests.memory.ledger.ledger_cases.registry import MEGABYTE, SIZE, Allocations, add_report, ledger_case


@ledger_case("parts")
def tensor_of_a_model(builder: LedgerBuilder) -> Allocations:
    import torch

    from services.knowledge.embedding.bert_encoder import ranges

    yield None
    # Many small ones lie among malloc's others, a big one in a mapping of its own.
    tensors = [torch.ones(2500) for _ in range(5000)] + [torch.ones(12_500_000)]
    places = tuple(part for tensor in tensors for part in ranges(tensor))
    size = sum(tensor.nbytes for tensor in tensors)
    add_report(builder, MemoryReport("t", "", size, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=places))
    yield Owner.MODELS, size


@ledger_case("parts")
def index_codes(builder: LedgerBuilder) -> Allocations:
    from services.knowledge.index.segment import Codec
    from services.knowledge.index.vector_index import VectorIndex

    count = SIZE // 396
    index = VectorIndex(384, Codec.wide(384))
    builder.add_memory_reporter(lambda: [index.memory_report()])
    yield None
    codes = np.random.default_rng(0).integers(0, 256, (count, 384), np.uint8)
    index.load(np.arange(count), np.zeros(count, np.int32), codes)
    del codes
    yield Owner.INDEX, count * 396


@ledger_case("parts")
def sqlite_cache(_builder: LedgerBuilder) -> Allocations:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 65536")
    yield None
    connection.execute("CREATE TABLE plant (content BLOB)")
    connection.executemany("INSERT INTO plant VALUES (?)", ((os.urandom(MEGABYTE),) for _ in range(100)))
    yield Owner.DATABASE, SIZE
    connection.close()


@ledger_case("parts")
def conversation_windows(builder: LedgerBuilder) -> Allocations:
    from collections import deque

    from services.chat.history_window import HistoryWindows, Turn

    yield None
    windows = HistoryWindows(None)  # type: ignore[arg-type]
    builder.add_memory_reporter(lambda: [windows.memory_report()])
    chance = random.Random(0)
    texts = [chance.randbytes(chance.choice([100, 9900])).decode("latin-1") for _ in range(SIZE // 5000)]
    for start in range(0, len(texts) - 100, 100):
        turns = zip(texts[start : start + 100 : 2], texts[start + 1 : start + 100 : 2], strict=True)
        windows._windows[str(start)] = deque((Turn(*turn) for turn in turns), maxlen=50)
    del texts[start + 100 :]
    yield Owner.CONVERSATIONS, sum(map(sys.getsizeof, texts))


@ledger_case("parts")
def allocation_traces(_builder: LedgerBuilder) -> Allocations:
    from services.memory.ledger.allocators import malloc_heap

    def malloc() -> int:
        figures = malloc_heap()
        assert figures is not None
        return figures.used + figures.mapped

    tracemalloc.start(1)
    yield None
    before = malloc()
    # Each is two small blocks; malloc holds the list of them, and the traces.
    keep = [bytearray(1) for _ in range(500_000)]
    yield Owner.WATCHING, malloc() - before - sys.getsizeof(keep)
    tracemalloc.stop()
