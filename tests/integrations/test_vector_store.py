from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from services.core.actor import SERVICE
from services.core.errors import BadInputError
from services.integrations.langchain import KnowledgeVectorStore, LangChainEmbeddings
from services.knowledge.document_import import DocumentImporter, PreparedChunk, PreparedDocument
from services.knowledge.embedding import Embedder
from tests.knowledge.library_harness import LibraryHarness

FACTS = {
    "sun": "The sun is a star in the middle of our planets.",
    "bread": "Bread is baked from flour, water, salt and yeast.",
    "mill": "A mill grinds grain into flour between two stones.",
}


class TestStandardSuite(VectorStoreIntegrationTests):
    """LangChain's own suite, sync and async."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[KnowledgeVectorStore]:
        """An empty store in a folder of its own."""
        store = KnowledgeVectorStore.open(tmp_path / "store", self.get_embeddings())
        yield store
        store.close()


@pytest.fixture
def store(tmp_path: Path, embedder: Embedder) -> Iterator[KnowledgeVectorStore]:
    """A store over the real model with three facts in it."""
    store = KnowledgeVectorStore.from_texts(
        list(FACTS.values()),
        LangChainEmbeddings(embedder),
        [{"topic": name} for name in FACTS],
        ids=list(FACTS),
        folder=tmp_path / "store",
    )
    yield store
    store.close()


def test_the_nearest_text_comes_first_with_its_cosine(store: KnowledgeVectorStore, embedder: Embedder) -> None:
    """Hits come with id, metadata and the exact cosine of question and text."""
    (first, score), *others = store.similarity_search_with_score("What grinds the grain?", k=3)
    assert first.id == "mill"
    assert first.metadata == {"topic": "mill"}
    cosine = embedder.embed_query("What grinds the grain?") @ embedder.embed_chunks([FACTS["mill"]])[0]
    assert score == pytest.approx(float(cosine), abs=1e-3)
    assert score > others[0][1] > others[1][1]


def test_the_store_serves_as_a_retriever(store: KnowledgeVectorStore) -> None:
    """All three kinds of LangChain retriever work on it."""
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("What shines on the planets?")[0].id == "sun"
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2}).invoke("flour")
    assert len(diverse) == 2
    close = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9, "k": 3}
    ).invoke("A mill grinds grain into flour between two stones.")
    assert [document.id for document in close] == ["mill"]


def test_texts_are_there_again_after_a_restart(tmp_path: Path, embedder: Embedder) -> None:
    """Texts, metadata and vectors are on disk; nothing is embedded again."""

    class Counting(LangChainEmbeddings):
        texts = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            Counting.texts += len(texts)
            return super().embed_documents(texts)

    folder = tmp_path / "store"
    KnowledgeVectorStore.from_texts(list(FACTS.values()), Counting(embedder), ids=list(FACTS), folder=folder).close()
    again = KnowledgeVectorStore.open(folder, Counting(embedder))
    assert again.similarity_search("What is bread made of?", k=1)[0].id == "bread"
    assert [document.page_content for document in again.get_by_ids(["sun", "none", "mill"])] == [
        FACTS["sun"],
        FACTS["mill"],
    ]
    assert Counting.texts == 3
    again.close()


def test_a_known_id_is_replaced_also_within_one_call(store: KnowledgeVectorStore) -> None:
    """Of several texts with one id the last one stays, in database and index."""
    ids = store.add_texts(["Old news.", "The moon is made of rock."], ids=["sun", "sun"])
    assert ids == ["sun", "sun"]
    assert store.get_by_ids(["sun"])[0].page_content == "The moon is made of rock."
    found = store.similarity_search("moon", k=10)
    assert sorted(document.id or "" for document in found) == sorted(FACTS)


def test_all_texts_can_be_deleted(store: KnowledgeVectorStore) -> None:
    """Deleting without ids leaves an empty store that can be filled again."""
    assert store.delete()
    assert store.similarity_search("flour") == []
    store.add_texts(["A new beginning."])
    assert len(store.similarity_search("flour")) == 1


def test_collections_do_not_see_each_other(store: KnowledgeVectorStore, tmp_path: Path, embedder: Embedder) -> None:
    """The same id in two collections names two texts."""
    store.close()
    other = KnowledgeVectorStore.open(tmp_path / "store", LangChainEmbeddings(embedder), collection="Other")
    other.add_texts(["Grain ships sail at dawn."], ids=["mill"])
    assert [document.page_content for document in other.similarity_search("flour", k=5)] == [
        "Grain ships sail at dawn."
    ]
    other.close()
    again = KnowledgeVectorStore.open(tmp_path / "store", LangChainEmbeddings(embedder))
    assert again.get_by_ids(["mill"])[0].page_content == FACTS["mill"]
    again.close()


def test_what_cannot_be_stored_is_refused(store: KnowledgeVectorStore) -> None:
    """Metadata that is not JSON, lists of unequal length and filters give a message; nothing is added."""
    with pytest.raises(BadInputError, match="JSON"):
        store.add_texts(["x"], [{"when": object()}])
    with pytest.raises(BadInputError, match="as many"):
        store.add_texts(["x", "y"], ids=["1"])
    with pytest.raises(BadInputError, match="filters"):
        store.similarity_search("x", filter={"topic": "sun"})
    with pytest.raises(BadInputError, match="folder"):
        KnowledgeVectorStore.from_texts(["x"], DeterministicFakeEmbedding(size=6))
    assert len(store.similarity_search("x", k=10)) == 3


def test_vectors_need_not_be_normalised(tmp_path: Path) -> None:
    """Embeddings of any length are compared by their cosine."""

    class Long(DeterministicFakeEmbedding):
        def embed_query(self, text: str) -> list[float]:
            return [x * 50 for x in super().embed_query(text)]

    store = KnowledgeVectorStore.from_texts(["one", "two"], Long(size=12), folder=tmp_path / "store")
    (document, score), *_others = store.similarity_search_with_score("two")
    assert document.page_content == "two"
    assert score == pytest.approx(1.0, abs=1e-5)
    store.close()


def test_uploaded_files_are_found_through_the_face(harness: LibraryHarness, embedder: Embedder) -> None:
    """The face over the service's own database finds chunks of files, with their place, beside its own texts."""
    intake = harness.library.add(SERVICE, io.BytesIO(b"The old mill stands by the pond. It grinds oats."), "mill.txt")
    assert harness.ingestion.wait_idle(60)
    store = KnowledgeVectorStore(
        harness.database,
        harness.ingestion.writer,
        harness.index_manager,
        LangChainEmbeddings(embedder),
        collection=harness.library.default_collection(SERVICE).name,
    )
    store.add_texts(["Oats are fed to horses."], ids=["oats"])
    found = {document.id: document for document in store.similarity_search("Where are oats ground?", k=5)}
    assert "oats" in found
    (from_file,) = [document for key, document in found.items() if key != "oats"]
    assert from_file.metadata["document"] == "mill.txt"
    assert from_file.metadata["document_id"] == intake.document.id
    names = {document.name: document for document in harness.library.documents(SERVICE)}
    assert names["Texts from LangChain"].chunks == 1
    harness.library.delete(SERVICE, [names["Texts from LangChain"].id])
    assert [document.id for document in store.similarity_search("oats", k=5)] == [from_file.id]
    assert np.array_equal(harness.index_manager.index.ids(), harness.chunks.active_ids()[0])


def test_imported_chunks_bring_their_metadata_along(harness: LibraryHarness, embedder: Embedder) -> None:
    """What another program knew of a chunk is among its metadata; its place in the document counts before that."""
    importer = DocumentImporter(harness.database, harness.ingestion, embedder, harness.settings)
    chunk = PreparedChunk(FACTS["mill"], 3, {"author": "Ada", "page": 2, "document": "spoofed"})
    imported = importer.add(SERVICE, PreparedDocument("mill.pdf", [chunk], embedder.embed_chunks([chunk.text])))
    store = KnowledgeVectorStore(
        harness.database,
        harness.ingestion.writer,
        harness.index_manager,
        LangChainEmbeddings(embedder),
        collection=harness.library.default_collection(SERVICE).name,
    )
    (found,) = store.similarity_search("Where is grain ground?")
    assert found.metadata == {
        "author": "Ada",
        "page": 3,
        "document": "mill.pdf",
        "document_id": imported.document.id,
        "heading": [],
    }
