"""`millpond import` as a person runs it, with and without a server."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from services.core.settings import Settings
from services.integrations.langchain import LangChainEmbeddings
from services.knowledge.embedding import Embedder
from tests.integrations.faiss_folders import write_folder
from tests.servers import Server, run

OTHER_MODEL = DeterministicFakeEmbedding(size=64)


def documents(mark: str) -> list[Document]:
    return [
        Document(
            page_content=f"The kiln {mark} is fired at 1250 degrees for nine hours.",
            metadata={"source": f"/srv/docs/kiln {mark}.pdf", "page": 2},
        ),
        Document(
            page_content=f"The glaze {mark} is mixed with ash and feldspar.",
            metadata={"source": f"content/glaze {mark}.md"},
        ),
    ]


@pytest.fixture(scope="module")
def serving_model() -> Iterator[Embedder]:
    """The model that the command line and a server take when nothing is configured."""
    embedder = Embedder.load(Settings())
    yield embedder
    embedder.close()


@pytest.fixture
def base(tmp_path: Path, serving_model: Embedder) -> Path:
    """What Langchain-Chatchat leaves: two knowledge bases, one of them with vectors of this model."""
    root = tmp_path / "knowledge_base"
    write_folder(
        root / "pottery" / "vector_store" / serving_model.files.name,
        LangChainEmbeddings(serving_model),
        documents(uuid4().hex[:8]),
    )
    write_folder(root / "mills" / "vector_store" / "bge-large-zh", OTHER_MODEL, documents(uuid4().hex[:8]))
    return root


def test_import_without_a_server(base: Path, tmp_path: Path) -> None:
    """Each knowledge base becomes a collection; what was imported is asked and cited like any document."""
    data = ("--data-dir", str(tmp_path / "data"))
    done = run("import", str(base), *data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 ready (2 chunks)") == 2
    assert "Vectors of 2 documents were used" in done.stdout
    assert "2 documents were re-embedded" in done.stdout
    asked = run("ask", "--collection", "pottery", "How hot is the kiln fired?", *data)
    assert asked.returncode == 0, asked.stderr
    assert "1250 degrees" in asked.stdout
    assert "kiln " in asked.stdout.partition("Sources")[2]
    assert "page 3" in asked.stdout.partition("Sources")[2]

    again = run("import", str(base), *data)
    assert again.returncode == 0
    assert again.stdout.count("2 were there already") == 2
    assert "Documents: 4" in run("status", *data).stdout


def test_import_through_a_server(server: Server, base: Path) -> None:
    """With a server on the data folder the documents go through it, with texts, pages and vectors."""
    name = f"imported {uuid4().hex[:6]}"
    done = run("import", str(base), "--collection", name, "--data-dir", str(server.data_dir))
    assert done.returncode == 0, done.stderr
    assert "Vectors of 2 documents were used" in done.stdout
    (collection,) = [
        found for found in server.client.get("/api/collections").json()["collections"] if found["name"] == name
    ]
    found = server.client.get("/api/documents", params={"collection": collection["id"]}).json()["documents"]
    assert sorted(document["name"].split()[0] for document in found) == ["glaze", "glaze", "kiln", "kiln"]
    assert {document["status"] for document in found} == {"ready"}
    (kiln, *_others) = [document for document in found if document["name"].startswith("kiln")]
    (chunk,) = server.client.get(f"/api/documents/{kiln['id']}/chunks").json()["chunks"]
    assert chunk["page"] == 3
    assert "1250 degrees" in chunk["text"]


def test_a_hostile_knowledge_base_is_refused_and_the_others_imported(base: Path, tmp_path: Path) -> None:
    """One file that is more than data makes the exit code 1 and is named; nothing in it is run."""

    class Command:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'touched'}",)

    (bad,) = (base / "mills").rglob("index.pkl")
    bad.write_bytes(pickle.dumps((Command(), {0: "1"})))
    data = ("--data-dir", str(tmp_path / "data"))
    done = run("import", str(base), *data)
    assert done.returncode == 1
    assert "2 ready (2 chunks)" in done.stdout
    assert str(bad) in done.stderr
    assert "system" in done.stderr
    assert "Nothing was imported" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "touched").exists()
    assert "Documents: 2" in run("status", *data).stdout


def test_folders_without_a_knowledge_base(tmp_path: Path) -> None:
    """A folder that holds none says what one is; a path that is not there is a usage error."""
    done = run("import", str(tmp_path), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "no knowledge base" in done.stderr
    assert "index.faiss" in done.stderr
    assert run("import", str(tmp_path / "missing")).returncode == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"vectors": "not base64!"}, 400),
        ({"vectors": "AAAAAA==", "dimension": 3}, 400),
        ({"chunks": []}, 422),
        ({"chunks": [{"text": " "}]}, 400),
        ({"chunks": [{"text": "x", "page": 0}]}, 422),
        ({"collection": 10**9}, 404),
        ({"chunks": [{"text": "x" * 5_000_000}]}, 413),
    ],
)
def test_the_api_refuses_what_is_no_document(server: Server, change: dict[str, object], status: int) -> None:
    """Broken bodies get a problem document; nothing of them is kept."""
    name = f"refused {uuid4().hex}"
    body = {"name": name, "chunks": [{"text": "Something."}], **change}
    assert server.client.post("/api/imports", json=body).status_code == status
    assert server.client.get("/api/documents", params={"query": name}).json()["total"] == 0
