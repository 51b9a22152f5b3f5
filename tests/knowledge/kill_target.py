"""A process that takes in files as it is told, until it is killed: `python -m tests.knowledge.kill_target FOLDER`.

Each line on standard input is an order in JSON; the line that answers it says that the order was carried out. The
embedder is replaced by one that starts at once; database, files, parser, index and snapshots are the real ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.core.actor import SERVICE
from services.core.errors import CancelledError, ConflictError
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding.model_files import find_model
from tests.knowledge.library_harness import LibraryHarness, text_about


class QuickEmbedder:
    """Vectors that depend on nothing but the text, at about 1 ms each."""

    dimension = 64
    max_tokens = 256
    fingerprint = "quick"
    tokenizer_file = find_model(MINILM, "").tokenizer_file

    def embed_chunks(
        self,
        texts: Sequence[str],
        *,
        cancelled: Callable[[], bool],
        on_progress: Callable[[int], None],
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        vectors = []
        for number, text in enumerate(texts):
            if cancelled():
                raise CancelledError("stopped")
            time.sleep(0.001)  # as if it were work: a kill shall find the stage busy
            vectors.append(self.vector(text))
            on_progress(number + 1)
        return np.stack(vectors)

    def vector(self, text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        vector = np.random.default_rng(seed).standard_normal(self.dimension, dtype=np.float32)
        return vector / np.linalg.norm(vector)


def content(seed: int, paragraphs: int) -> bytes:
    return text_about(f"subject{seed}", paragraphs).encode()


def open_harness(folder: Path) -> LibraryHarness:
    # Killed as often as here, a job may be in work during more crashes than would be allowed in earnest.
    return LibraryHarness(folder, QuickEmbedder(), crash_limit=10_000, snapshot_seconds=0.2)  # type: ignore[arg-type]


def carry_out(harness: LibraryHarness, order: dict[str, Any], collections: list[int]) -> str:
    library = harness.library
    where = collections[order["collection"]]
    present = {
        document.name: document.id for document in library.documents(SERVICE, collection_ids=[where], limit=10_000)
    }
    match order["do"]:
        case "add":
            data = content(order["seed"], order["paragraphs"])
            return "duplicate" if library.add(SERVICE, io.BytesIO(data), order["name"], where).duplicate else "added"
        case "delete":
            return str(library.delete(SERVICE, [present[order["name"]]]).documents)
        case "rechunk":
            try:
                library.jobs.rechunk(SERVICE, [present[order["name"]]], chunk_tokens=order["tokens"], overlap=0)
            except ConflictError:
                return "refused"
            return "begun"
    raise ValueError(order)


def main(folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is logged shall not pass for an answer
    harness = open_harness(folder)
    other = [c.id for c in harness.library.collections(SERVICE) if c.name == "Other"]
    collections = [harness.library.default_collection(SERVICE).id, *other]
    if not other:
        collections.append(harness.library.create_collection(SERVICE, "Other").id)
    print("open", file=answers, flush=True)
    for line in sys.stdin:
        print(carry_out(harness, json.loads(line), collections), file=answers, flush=True)
    harness.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
