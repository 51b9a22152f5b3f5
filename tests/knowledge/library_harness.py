"""A library with everything behind it over one data folder, as the runtime builds it."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from reportlab.pdfgen.canvas import Canvas

from services.core.actor import SERVICE
from services.core.admission import Admission
from services.core.claims import ALONE, Claims
from services.core.database import Database
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.knowledge.embedding import Embedder
from services.knowledge.files.open_store import open_file_store
from services.knowledge.index import IndexManager, IndexSnapshotStore
from services.knowledge.ingestion import Ingestion
from services.knowledge.library import Library
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.store import ChunkStore
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.types import Document, Intake
from tests.databases import database_settings
from tests.knowledge.stores import check_terms

DEADLINE = 90.0


class LibraryHarness:
    """Opens over `folder`; `start=False` leaves the queue alone, so that a test sees what is in it."""

    def __init__(
        self,
        folder: Path,
        embedder: Embedder,
        *,
        start: bool = True,
        crash_limit: int = 3,
        admission: Admission | None = None,
        claims: Claims = ALONE,
        **settings: Any,
    ) -> None:
        self.admission = admission or Admission()
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(data_dir=folder, **{**database_settings(folder), **settings})
        self.database = Database(self.settings.effective_database_url)
        self.database.create_tables()
        self.chunks = ChunkStore(self.database)
        self.files = open_file_store(self.settings)
        self.index_manager = IndexManager(
            self.chunks,
            dimension=embedder.dimension,
            fingerprint=embedder.fingerprint,
            snapshots=IndexSnapshotStore(folder / "index"),
            settings=self.settings,
        )
        self.index_manager.start()
        self.parser = ParserPool(self.settings, embedder.tokenizer_file, embedder.max_tokens)
        self.ingestion = Ingestion(
            self.database,
            self.files,
            self.parser,
            embedder,
            self.index_manager,
            self.settings,
            crash_limit=crash_limit,
            admission=self.admission,
            claims=claims,
        )
        self.library = Library(
            self.database,
            self.files,
            self.parser,
            self.ingestion,
            Preferences(self.database),
            self.settings,
            admission=self.admission,
            claims=claims,
        )
        if start:
            self.ingestion.start()

    def add(self, name: str, content: bytes | str, collection_id: int | None = None) -> Intake:
        data = content.encode() if isinstance(content, str) else content
        return self.library.add(SERVICE, io.BytesIO(data), name, collection_id)

    def ready(self, name: str, content: bytes | str, collection_id: int | None = None) -> Document:
        """Add a file and wait until it is through."""
        intake = self.add(name, content, collection_id)
        self.idle()
        return self.library.document(SERVICE, intake.document.id)

    def idle(self) -> None:
        assert self.ingestion.wait_idle(DEADLINE), self.library.jobs.recent(SERVICE, unfinished_only=True)

    def count(self, table: str) -> int:
        with self.database.read() as connection:
            return int(connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)

    def stored_files(self) -> set[str]:
        return {path.name for path in (self.settings.data_dir / "files").rglob("*") if path.is_file()}

    def matching(self, term: str) -> list[int]:
        """Return the ids of chunks that the lexical index has for a term."""
        with self.database.read() as connection:
            return sorted(lexical_index(connection).having_all(connection, [term], -1))

    def check(self) -> None:
        """Assert that rows, terms, vectors, index and files agree with each other to the last one."""
        with self.database.write() as connection:
            check_terms(connection)
            if connection.dialect.name == "sqlite":
                assert connection.scalar(sa.text("PRAGMA integrity_check")) == "ok"
                assert connection.execute(sa.text("PRAGMA foreign_key_check")).all() == []
            referenced = set(connection.execute(sa.text("SELECT stored FROM revisions")).scalars()) - {""}
        ids, groups = self.chunks.active_ids()
        assert self.count("chunks") == len(ids)
        held_ids, held_groups = self.index_manager.index.members()
        assert held_ids.tolist() == ids.tolist()
        assert held_groups.tolist() == groups.tolist()
        assert self.stored_files() == referenced
        for document in self.library.documents(SERVICE, limit=10_000):
            assert [c.position for c in self.library.reader.chunks(SERVICE, document.id, limit=100_000)] == list(
                range(document.chunks)
            )

    def close(self) -> None:
        self.ingestion.close()
        self.parser.close()
        self.index_manager.close()
        self.files.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def text_about(subject: str, paragraphs: int = 3) -> str:
    """Return a text whose paragraphs all differ and name the subject."""
    return "\n\n".join(
        f"Paragraph {number} about {subject}. The {subject} of number {number} is described here in some detail, "
        f"so that a chunk of its own has something to say about {subject} and its {number * 7} parts."
        for number in range(1, paragraphs + 1)
    )


def pdf(pages: int) -> bytes:
    """Return a PDF whose pages each say which one they are."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for page in range(1, pages + 1):
        canvas.drawString(72, 700, f"This is what page {page} says about mountains and rivers.")
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
