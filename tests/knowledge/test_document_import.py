from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from services.core.actor import SERVICE
from services.core.errors import BadInputError, BusyError, ConflictError, NotFoundError
from services.knowledge.document_import import (
    DocumentImporter,
    ImportedDocument,
    PreparedChunk,
    PreparedDocument,
    content_hash,
)
from services.knowledge.embedding import Embedder
from services.knowledge.retrieval import Retriever
from services.knowledge.types import DocumentStatus, RetrievalSettings
from tests.knowledge.library_harness import LibraryHarness

TEXTS = (
    "The kiln is fired at 1250 degrees for nine hours.",
    "The glaze is mixed with ash and feldspar.",
    "Clay is wedged before it is thrown on the wheel.",
)


def prepared(texts: tuple[str, ...] = TEXTS, name: str = "/srv/kiln.pdf", vectors: object = None) -> PreparedDocument:
    chunks = [
        PreparedChunk(text, page, {"author": "Ada", "page": page - 1}) for page, text in enumerate(texts, start=1)
    ]
    return PreparedDocument(name, chunks, None if vectors is None else np.asarray(vectors, np.float32))


@pytest.fixture
def importer(harness: LibraryHarness, embedder: Embedder) -> DocumentImporter:
    return importer_of(harness, embedder)


def importer_of(harness: LibraryHarness, embedder: Embedder) -> DocumentImporter:
    return DocumentImporter(
        harness.database, harness.ingestion, embedder, harness.settings, admission=harness.admission
    )


def stored_metadata(harness: LibraryHarness) -> list[object]:
    with harness.database.read() as connection:
        rows = connection.execute(sa.text("SELECT metadata FROM chunks ORDER BY position")).scalars()
        return list(rows)


def vectors_of(harness: LibraryHarness, imported: ImportedDocument) -> np.ndarray:
    chunks = harness.library.reader.chunks(SERVICE, imported.document.id)
    return harness.chunks.vectors([chunk.id for chunk in chunks])[1]


def search(harness: LibraryHarness, embedder: Embedder, question: str) -> list[tuple[str, int | None]]:
    retriever = Retriever(
        harness.database, harness.chunks, embedder, harness.index_manager, RetrievalSettings, question_characters=4000
    )
    return [(hit.document, hit.page) for hit in retriever.search(SERVICE, question).hits]


def test_vectors_of_our_model_are_kept(harness: LibraryHarness, importer: DocumentImporter, embedder: Embedder) -> None:
    """A document with vectors of the embedding model is ready at once: searchable, citable, with place and text."""
    vectors = embedder.embed_chunks(TEXTS) * 3  # of any length
    imported = importer.add(SERVICE, prepared(vectors=vectors))
    assert (imported.duplicate, imported.vectors_kept) == (False, True)
    document = harness.library.document(SERVICE, imported.document.id)
    assert (document.name, document.status, document.chunks, document.searchable) == (
        "kiln.pdf",
        DocumentStatus.READY,
        3,
        True,
    )
    assert [chunk.text for chunk in harness.library.reader.chunks(SERVICE, document.id)] == list(TEXTS)
    assert [section.page for section in harness.library.reader.sections(SERVICE, document.id)] == [1, 2, 3]
    assert search(harness, embedder, "How hot is the kiln fired?")[0] == ("kiln.pdf", 1)
    assert np.linalg.norm(vectors_of(harness, imported), axis=1) == pytest.approx(1, abs=1e-5)
    assert not harness.library.jobs.recent(SERVICE)
    assert '"author": "Ada"' in str(stored_metadata(harness)[0])
    harness.check()


@pytest.mark.parametrize("kind", ["none", "dimension", "model", "zero", "nan", "shuffled", "rows"])
def test_other_vectors_are_made_again(
    harness: LibraryHarness, importer: DocumentImporter, embedder: Embedder, kind: str
) -> None:
    """Vectors of another model, broken or missing ones are replaced; texts, pages and metadata stay as they are."""
    own = embedder.embed_chunks(TEXTS)
    rng = np.random.default_rng(3)
    vectors = {
        "none": None,
        "dimension": rng.normal(size=(3, 8)),
        "model": rng.normal(size=own.shape),
        "zero": np.vstack([own[:2], np.zeros((1, own.shape[1]))]),
        "nan": np.vstack([own[:2], np.full((1, own.shape[1]), np.nan)]),
        "shuffled": own[::-1],
        "rows": own[:2],
    }[kind]
    imported = importer.add(SERVICE, prepared(vectors=vectors))
    assert not imported.vectors_kept
    harness.idle()
    document = harness.library.document(SERVICE, imported.document.id)
    assert (document.status, document.chunks) == (DocumentStatus.READY, 3)
    assert vectors_of(harness, imported) == pytest.approx(own, abs=1e-3)
    assert [chunk.page for chunk in harness.library.reader.chunks(SERVICE, document.id)] == [1, 2, 3]
    assert all('"author": "Ada"' in str(metadata) for metadata in stored_metadata(harness))
    assert len(harness.library.reader.sections(SERVICE, document.id)) == 3
    assert search(harness, embedder, "What is the glaze mixed with?")[0] == ("kiln.pdf", 2)
    harness.check()


def test_words_find_a_document_before_it_is_embedded(tmp_path: Path, embedder: Embedder) -> None:
    """Until its vectors are made, which a restart goes on with, an imported document is found by its words."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        imported = importer_of(harness, embedder).add(SERVICE, prepared())
        assert imported.document.status is DocumentStatus.QUEUED
        assert harness.library.document(SERVICE, imported.document.id).searchable
        assert search(harness, embedder, "feldspar glaze") == [("kiln.pdf", 2)]
        assert len(harness.index_manager.index) == 0
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.idle()
        assert harness.library.document(SERVICE, imported.document.id).status is DocumentStatus.READY
        assert len(harness.index_manager.index) == 3
        harness.check()


def test_importing_twice_adds_nothing(harness: LibraryHarness, importer: DocumentImporter) -> None:
    """The same texts in the same collection are one document, also under another name; in another they are two."""
    first = importer.add(SERVICE, prepared())
    assert importer.add(SERVICE, prepared()).duplicate
    assert importer.add(SERVICE, prepared(name="copy.pdf")).document.id == first.document.id
    harness.idle()
    assert importer.add(SERVICE, prepared()).duplicate
    other = harness.library.create_collection(SERVICE, "Other")
    assert not importer.add(SERVICE, prepared(), other.id).duplicate
    harness.idle()
    assert harness.library.count_documents(SERVICE) == 2
    harness.check()


def test_changed_texts_are_a_new_version(harness: LibraryHarness, importer: DocumentImporter) -> None:
    """A source of the same name with other texts takes the place of the one before, which leaves nothing behind."""
    first = importer.add(SERVICE, prepared())
    second = importer.add(SERVICE, prepared(TEXTS[:2]))  # while the first is still being embedded
    assert second.document.id == first.document.id
    harness.idle()
    document = harness.library.document(SERVICE, first.document.id)
    assert (document.version, document.chunks, document.status) == (2, 2, DocumentStatus.READY)
    harness.check()


def test_imported_documents_can_be_embedded_anew_moved_and_deleted(
    harness: LibraryHarness, importer: DocumentImporter
) -> None:
    """They are documents like others; only their original is not there, so that they cannot be chunked anew."""
    imported = importer.add(SERVICE, prepared())
    harness.idle()
    ids = [imported.document.id]
    harness.library.jobs.reembed(SERVICE, ids)
    harness.idle()
    assert '"author": "Ada"' in str(stored_metadata(harness)[2])
    with pytest.raises(ConflictError, match="original"):
        harness.library.jobs.rechunk(SERVICE, ids, 100, 10)
    with pytest.raises(NotFoundError):
        harness.library.reader.original(SERVICE, ids[0])
    harness.library.move(SERVICE, ids, harness.library.create_collection(SERVICE, "Other").id)
    harness.check()
    report = harness.library.delete(SERVICE, ids)
    assert (report.documents, report.chunks) == (1, 3)
    assert harness.count("sections") == 0
    harness.check()


def test_a_job_that_was_cancelled_is_taken_up_again(tmp_path: Path, embedder: Embedder) -> None:
    """Who cancels the embedding of an imported document can import it again."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        importer = importer_of(harness, embedder)
        imported = importer.add(SERVICE, prepared())
        assert imported.document.job_id is not None
        harness.library.jobs.cancel(SERVICE, imported.document.job_id)
        again = importer.add(SERVICE, prepared())
        assert again.duplicate
        harness.ingestion.start()
        harness.idle()
        assert harness.library.document(SERVICE, imported.document.id).status is DocumentStatus.READY
        assert len(harness.index_manager.index) == 3
        harness.check()


def test_what_cannot_be_stored_is_refused(tmp_path: Path, embedder: Embedder) -> None:
    """No text, no collection, a full queue or no memory give a message and leave nothing."""
    with LibraryHarness(tmp_path / "data", embedder, start=False, queue_limit=1) as harness:
        importer = importer_of(harness, embedder)
        with pytest.raises(BadInputError):
            importer.add(SERVICE, PreparedDocument("empty", [PreparedChunk(" \n")]))
        with pytest.raises(NotFoundError):
            importer.add(SERVICE, prepared(), 77)
        importer.add(SERVICE, prepared())
        with pytest.raises(BusyError):
            importer.add(SERVICE, prepared(TEXTS[:2], "other.pdf"))
        assert harness.library.count_documents(SERVICE) == 1
        assert importer.add(SERVICE, prepared(TEXTS[:1], "third.pdf", embedder.embed_chunks(TEXTS[:1]))).vectors_kept


def test_texts_are_stored_as_databases_take_them(harness: LibraryHarness, importer: DocumentImporter) -> None:
    """NUL and lone surrogates do not reach the database, in texts, metadata and names."""
    document = PreparedDocument("a\ud800\0.txt", [PreparedChunk("lone \ud800 and\0 NUL", None, {"k": "\ud800"})])
    imported = importer.add(SERVICE, document)
    harness.idle()
    (chunk,) = harness.library.reader.chunks(SERVICE, imported.document.id)
    assert chunk.text == "lone ? and NUL"
    harness.check()


def test_hashes_differ_by_text_page_and_metadata() -> None:
    """Whatever is kept of a chunk belongs to its content; order counts."""
    chunks = [
        [PreparedChunk("a", 1, {"x": 1})],
        [PreparedChunk("b", 1, {"x": 1})],
        [PreparedChunk("a", 2, {"x": 1})],
        [PreparedChunk("a", 1, {"x": 2})],
        [PreparedChunk("a", 1, {"x": 1}), PreparedChunk("b")],
        [PreparedChunk("b"), PreparedChunk("a", 1, {"x": 1})],
    ]
    assert len({content_hash(each) for each in chunks}) == len(chunks)
    assert content_hash([PreparedChunk("a", 1, {"x": 1, "y": 2})]) == content_hash(
        [PreparedChunk("a", 1, {"y": 2, "x": 1})]
    )
