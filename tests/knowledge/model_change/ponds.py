"""Data folders with two models: the bundled one, and a small one of other dimensions; opened as the process does it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import sqlalchemy as sa

from services.app.build_documents import build_knowledge, load_serving
from services.core.actor import SERVICE
from services.core.admission import Admission
from services.core.cache import Caches
from services.core.database import Database
from services.core.errors import CancelledError
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from services.knowledge.model_change.types import ChangeStage, ModelChangeStatus
from services.nodes.pond_nodes import Nodes
from tests.databases import database_settings
from tests.events import RecordingEventSink
from tests.servers import eventually

SUBJECTS = ("bees", "glaciers", "harbours", "violins", "orchards", "volcanoes")
SMALL = "small"
PARAGRAPHS = 6


class Pond:
    """What is behind pages and API over a folder, without platform and chat; without `work` no change is worked on."""

    def __init__(
        self, folder: Path, model: str = "", *, work: bool = True, nodes: Nodes | None = None, **settings: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(
            data_dir=folder,
            **database_settings(folder),
            embedding_model=model,
            **{"chunk_tokens": 60, "chunk_overlap_tokens": 0, **settings},
        )
        self.events = RecordingEventSink()
        self.admission = Admission()
        self._closing = ExitStack()
        self.database = Database(self.settings.effective_database_url)
        self._closing.callback(self.database.close)
        self.database.create_tables()
        loaded, choice = load_serving(self.settings, self.database, None, self._closing)
        self.serving = loaded.embedder
        self.caches = Caches(self.settings)
        self.knowledge = build_knowledge(
            self.settings,
            self.database,
            Preferences(self.database),
            self.serving,
            choice,
            self.caches,
            self.events,
            self.admission,
            self._closing,
            nodes,
        )
        self.change = self.knowledge.model_change
        self.knowledge.ingestion.start()
        self._closing.callback(self.knowledge.ingestion.close)
        if work:
            self.change.start_worker()
        self._closing.callback(self.change.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def add(self, name: str, text: str) -> int:
        """Take a document in and wait until it is ready."""
        intake = self.knowledge.library.add(SERVICE, io.BytesIO(text.encode()), name, None)
        assert self.knowledge.ingestion.wait_idle(60)
        return intake.document.id

    def fill(self, paragraphs: int = PARAGRAPHS) -> None:
        """Add a document about each subject."""
        for subject in SUBJECTS:
            self.add(f"{subject}.txt", about(subject, paragraphs))

    def found(self, questions: Sequence[str] = SUBJECTS) -> list[tuple[Any, ...]]:
        """Return what the questions find, with exact scores, past every cache of results."""
        searched = []
        for question in questions:
            result = self.knowledge.retriever.search(SERVICE, f"What is told of {question}?")
            searched.append(tuple((hit.chunk_id, round(hit.score, 5), hit.dense_score) for hit in result.hits))
        return searched

    def texts(self) -> dict[int, str]:
        """Return the texts of all chunks by id."""
        with self.database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(sa.text("SELECT id, text FROM chunks ORDER BY id"))}

    def status(self) -> ModelChangeStatus:
        return self.change.status()

    def until(self, *stages: ChangeStage) -> ModelChangeStatus:
        """Wait until the change is in one of these stages."""
        eventually(lambda: self.status().stage in stages, seconds=60, what=f"{stages}, not {self.status()}")
        return self.status()

    def changed(self) -> None:
        """Wait until the change is done and nothing is left of it."""
        self.until(ChangeStage.NONE)
        eventually(lambda: self.rows("chunk_vectors") == 0, seconds=30, what="moved vectors")

    def rows(self, table: str) -> int:
        with self.database.read() as connection:
            return int(connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)

    def vectors(self) -> dict[int, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return the vectors that stand in the chunks themselves."""
        with self.database.read() as connection:
            rows = connection.execute(sa.text("SELECT id, vector FROM chunks ORDER BY id")).all()
        return {row[0]: np.frombuffer(row[1], "<f4") for row in rows}

    def check(self) -> None:
        """Assert that vectors, index, fingerprints and model agree to the last one."""
        index, fingerprint = self.knowledge.index, self.serving.fingerprint
        ids = sorted(self.vectors())
        assert index.index.ids().tolist() == ids
        assert index.fingerprint == fingerprint
        with self.database.read() as connection:
            found = set(connection.execute(sa.text("SELECT fingerprint FROM revisions")).scalars())
            assert found <= {fingerprint}
            assert connection.execute(sa.text("PRAGMA foreign_key_check")).all() == []
        assert {len(vector) for vector in self.vectors().values()} <= {self.serving.dimension}


class HeldBack:
    """Holds the small model back: each of its batches waits for a permit."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self.opened = False
        self.texts: list[str] = []
        self.waiting = threading.Event()

    def permit(self, batches: int) -> None:
        for _number in range(batches):
            self._permits.release()

    def open(self) -> None:
        self.opened = True
        self._permits.release()

    def pass_through(self, texts: Sequence[str], cancelled: Any) -> None:
        self.waiting.set()
        while not self.opened and not self._permits.acquire(timeout=0.01):
            if cancelled():
                raise CancelledError("held back")
        self.waiting.clear()
        self.texts += texts


@contextmanager
def held_back(patch: pytest.MonkeyPatch, model: str = SMALL, batch: int = 4) -> Iterator[HeldBack]:
    """Hold back a model of that name, in batches of so many chunks."""
    gate, embed = HeldBack(), Embedder.embed_chunks

    def embed_chunks(self: Embedder, texts: Sequence[str], **keywords: Any) -> Any:
        if self.files.name == model:
            gate.pass_through(texts, keywords.get("cancelled", lambda: False))
        return embed(self, texts, **keywords)

    with patch.context() as patched:
        patched.setattr(Embedder, "embed_chunks", embed_chunks)
        patched.setattr("services.knowledge.model_change.worker.BATCH_CHUNKS", batch)
        patched.setattr("services.knowledge.model_change.worker.LAST_CHUNKS", 2)
        try:
            yield gate
        finally:
            gate.open()


def about(subject: str, paragraphs: int) -> str:
    """Return a text of so many chunks or a few more."""
    return "\n\n".join(
        f"# {subject} {number}\n\nPart {number} about {subject}: what is told here of {subject} and of the number "
        f"{number * 7} fills a chunk of its own. " + f"Whoever reads of {subject} learns thing number {number}. " * 3
        for number in range(paragraphs)
    )
