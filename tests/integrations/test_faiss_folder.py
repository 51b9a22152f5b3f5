from __future__ import annotations

import os
import struct
from pathlib import Path

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from services.integrations.faiss_folder import (
    find_knowledge_bases,
    page_of,
    read_documents,
    read_vectors,
    source_names,
)
from tests.integrations.faiss_folders import MANUAL, write_folder

FAKE = DeterministicFakeEmbedding(size=6)


def test_texts_are_grouped_by_their_source(tmp_path: Path) -> None:
    """A document for each source, its chunks in the order of the index, with page, metadata and vectors."""
    kiln, clay = [document.prepared() for document in read_documents(write_folder(tmp_path / "store", FAKE))]
    assert [kiln.name, clay.name] == ["kiln.pdf", "clay.md"]
    assert [(chunk.text, chunk.page, chunk.metadata) for chunk in kiln.chunks] == [
        (MANUAL[0].page_content, 1, MANUAL[0].metadata),
        (MANUAL[1].page_content, 5, MANUAL[1].metadata),
    ]
    assert [chunk.page for chunk in clay.chunks] == [None]
    assert kiln.vectors is not None
    assert kiln.vectors.shape == (2, 6)
    assert clay.vectors is not None
    assert clay.vectors[0] == pytest.approx(np.array(FAKE.embed_query(MANUAL[2].page_content)), abs=1e-6)


def test_folders_are_found_in_both_layouts(tmp_path: Path) -> None:
    """A LangChain folder is named after itself, a knowledge base of Langchain-Chatchat by its own folder."""
    write_folder(tmp_path / "knowledge_base" / "pottery" / "vector_store" / "bge-small", FAKE)
    older = write_folder(tmp_path / "knowledge_base" / "pottery" / "vector_store" / "m3e-base", FAKE)
    write_folder(tmp_path / "knowledge_base" / "samples" / "vector_store", FAKE)
    write_folder(tmp_path / "Alone", FAKE)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "index.pkl").write_bytes(b"x")
    os.utime(older / "index.pkl", (1, 1))
    found = find_knowledge_bases(tmp_path)
    assert [base.name for base in found] == ["Alone", "pottery", "samples"]
    assert found[1].folder.name == "bge-small"
    assert found[1].passed_over == (older,)
    assert [base.folder for base in find_knowledge_bases(tmp_path / "Alone")] == [tmp_path / "Alone"]
    assert find_knowledge_bases(tmp_path / "half") == []


def test_names_come_from_the_last_part_of_a_source() -> None:
    """Sources that share it are named with their folders; nothing in a source is ever a path again."""
    sources = [
        "/srv/a/read me.md",
        "/srv/b/read me.md",
        "C:\\Users\\ada\\plan.docx",
        "https://example.org/guide/",
        "../../../etc/passwd",
        "..",
        "",
    ]
    names = source_names(sources)
    assert list(names.values()) == [
        "srv › a › read me.md",
        "srv › b › read me.md",
        "plan.docx",
        "guide",
        "passwd",
        "Texts without a source",
        "Texts without a source (2)",
    ]
    assert len(set(source_names([f"{'d/' * number}x.md" for number in range(50)]).values())) == 50


@pytest.mark.parametrize(
    ("metadata", "page"),
    [
        ({"page": 0}, 1),
        ({"page": 6, "page_number": 3}, 7),
        ({"page_number": 3}, 3),
        ({"page": "3"}, None),
        ({"page": True}, None),
        ({"page": -1}, None),
        ({"page": 10**12}, None),
        ({}, None),
    ],
)
def test_pages_count_from_one(metadata: dict[str, object], page: int | None) -> None:
    """LangChain's `page` counts from 0, `page_number` from 1; what is neither is no page."""
    assert page_of(metadata) == page


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_flat_indexes_are_read_as_faiss_wrote_them(tmp_path: Path, metric: int) -> None:
    """Vectors come back bit by bit, mapped from the file."""
    vectors = np.random.default_rng(7).normal(size=(30, 12)).astype(np.float32)
    index = faiss.IndexFlat(12, metric)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    found = read_vectors(tmp_path / "index.faiss")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, vectors)


def test_other_indexes_give_no_vectors(tmp_path: Path) -> None:
    """An index that is not flat, cut off, too long or lying about its size is not used, and never given to FAISS."""
    path = tmp_path / "index.faiss"
    faiss.write_index(faiss.IndexHNSWFlat(8, 4), str(path))
    assert read_vectors(path) is None
    index = faiss.IndexFlatL2(8)
    index.add(np.ones((3, 8), np.float32))
    data = faiss.serialize_index(index).tobytes()
    path.write_bytes(data)
    assert read_vectors(path) is not None
    spoilt = [
        b"",
        data[:20],
        data[:-1],
        data + b"x",
        b"IxPT" + data[4:],
        data[:4] + struct.pack("<i", -8) + data[8:],
        data[:4] + struct.pack("<i", 2**31 - 1) + data[8:],
        data[:8] + struct.pack("<q", 2**62) + data[16:],
        data[:8] + struct.pack("<q", -3) + data[16:],
        data[:33] + struct.pack("<i", 4) + data[37:],
        data[:37] + struct.pack("<Q", 2**64 - 1) + data[45:],
    ]
    for bad in spoilt:
        path.write_bytes(bad)
        assert read_vectors(path) is None
    assert read_vectors(tmp_path / "missing") is None


def test_an_index_of_other_texts_gives_no_vectors(tmp_path: Path) -> None:
    """Where index and document store differ in number, texts are read and vectors are not."""
    write_folder(tmp_path / "more", FAKE, [*MANUAL, Document(page_content="One more.")])
    folder = write_folder(tmp_path / "store", FAKE)
    (tmp_path / "more" / "index.faiss").replace(folder / "index.faiss")
    assert [document.prepared().vectors for document in read_documents(folder)] == [None, None]


def test_blank_texts_are_left_out(tmp_path: Path) -> None:
    """Texts without a visible character are no chunks; the others keep their vectors."""
    documents = [Document(page_content=text, metadata={"source": "a.txt"}) for text in ("one", " \n", "two")]
    (document,) = read_documents(write_folder(tmp_path / "store", FAKE, documents))
    prepared = document.prepared()
    assert [chunk.text for chunk in prepared.chunks] == ["one", "two"]
    assert prepared.vectors is not None
    assert prepared.vectors[1] == pytest.approx(np.array(FAKE.embed_query("two")), abs=1e-6)
