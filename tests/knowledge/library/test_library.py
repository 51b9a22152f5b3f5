from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.core.access import SERVICE
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.integrations.langchain_store import ExternalStore, ExternalText
from services.knowledge import library
from services.knowledge.embedding import Embedder
from services.knowledge.store.intake import outdated
from services.knowledge.types import ChunkDraft, DocumentStatus, JobKind, RetrievalSettings
from tests.knowledge.library_harness import LibraryHarness, pdf, text_about


def test_disabled_document_stays_but_does_not_answer(workshop: LibraryHarness) -> None:
    """Disabling takes a document's chunks out of reach of searches without deleting them; enabling brings them back."""
    document = workshop.ready("a.txt", text_about("herons"))
    ids = [chunk.id for chunk in workshop.library.chunks(document.id)]
    workshop.library.set_enabled([document.id], False)
    assert not workshop.library.document(document.id).searchable
    assert workshop.chunks.hits(ids) == {}
    assert workshop.chunks.active_ids()[1].tolist() == [-1] * len(ids)
    workshop.check()
    workshop.library.set_enabled([document.id], True)
    assert set(workshop.chunks.hits(ids)) == set(ids)
    workshop.check()


def test_document_that_is_disabled_while_it_is_taken_in_stays_disabled(tmp_path: Path, embedder: Embedder) -> None:
    """What was switched off before it was ready is not searchable when it is."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        intake = workshop.add("a.txt", text_about("storks"))
        workshop.library.set_enabled([intake.document.id], False)
        workshop.ingestion.start()
        workshop.idle()
        assert workshop.library.document(intake.document.id).status is DocumentStatus.READY
        assert set(workshop.chunks.active_ids()[1].tolist()) == {-1}
        workshop.check()


def test_moved_document_answers_in_its_new_collection(workshop: LibraryHarness) -> None:
    """Moving changes the group of every chunk in the index; a name that is taken there prevents it."""
    document = workshop.ready("a.txt", text_about("cranes"))
    other = workshop.library.create_collection("Other")
    workshop.library.move([document.id], other.id)
    assert workshop.library.document(document.id).collection == "Other"
    assert set(workshop.chunks.active_ids()[1].tolist()) == {other.id}
    workshop.check()
    clash = workshop.ready("a.txt", text_about("geese"))
    with pytest.raises(ConflictError, match="same name"):
        workshop.library.move([clash.id], other.id)
    assert workshop.library.document(clash.id).collection_id != other.id
    workshop.check()


def test_deletion_takes_everything_at_once_and_says_what(workshop: LibraryHarness) -> None:
    """File, chunks, terms, vectors and jobs go; the report counts them; others stay."""
    gone = workshop.ready("gone.txt", text_about("dodos", 9))
    kept = workshop.ready("kept.txt", text_about("emus", 9))
    report = workshop.library.delete([gone.id, gone.id, 999])
    assert (report.documents, report.chunks, report.bytes) == (1, gone.chunks, gone.size_bytes)
    assert workshop.matching("dodo") == []
    assert workshop.library.counts().chunks == kept.chunks
    with pytest.raises(NotFoundError):
        workshop.library.document(gone.id)
    assert [job.document for job in workshop.library.jobs()] == ["kept.txt"]
    workshop.check()


def test_chunk_ids_are_never_used_again(workshop: LibraryHarness) -> None:
    """A citation of a deleted chunk finds nothing, instead of another document's text."""
    first = workshop.ready("a.txt", text_about("finches"))
    ids = [chunk.id for chunk in workshop.library.chunks(first.id)]
    workshop.library.delete([first.id])
    second = workshop.ready("b.txt", text_about("wrens"))
    assert min(chunk.id for chunk in workshop.library.chunks(second.id)) > max(ids)
    assert workshop.library.chunk(ids[0]) is None


def test_collections_have_distinct_visible_names(workshop: LibraryHarness) -> None:
    """Names are trimmed, must be visible and unique; renaming follows the same rules."""
    law = workshop.library.create_collection("  Law\n")
    assert law.name == "Law"
    with pytest.raises(ConflictError):
        workshop.library.create_collection("Law")
    with pytest.raises(BadInputError):
        workshop.library.create_collection(" \u200b ")
    assert workshop.library.rename_collection(law.id, "Tax").name == "Tax"
    with pytest.raises(ConflictError):
        workshop.library.rename_collection(law.id, workshop.library.default_collection().name)
    with pytest.raises(NotFoundError):
        workshop.library.rename_collection(999, "Nothing")
    assert [c.name for c in workshop.library.collections()] == ["General", "Tax"]


def test_deleted_collection_takes_its_documents_along(workshop: LibraryHarness) -> None:
    """Documents of a deleted collection go with it, those of others stay; the last collection comes back empty."""
    law = workshop.library.create_collection("Law")
    workshop.ready("a.txt", text_about("torts"), law.id)
    kept = workshop.ready("b.txt", text_about("swifts"))
    report = workshop.library.delete_collection(law.id)
    assert report.documents == 1
    assert [d.id for d in workshop.library.documents()] == [kept.id]
    with pytest.raises(NotFoundError):
        workshop.add("c.txt", "text", law.id)
    workshop.library.delete_collection(kept.collection_id)
    assert [c.documents for c in workshop.library.collections()] == [0]
    workshop.check()


def test_rechunk_builds_beside_the_old_and_switches(workshop: LibraryHarness) -> None:
    """Smaller chunks replace the larger ones of the same version; a quotation is found in the new ones."""
    document = workshop.ready("a.txt", text_about("lemurs", 20))
    quote = workshop.library.chunks(document.id)[-1].text[-60:]
    (job,) = workshop.library.rechunk([document.id], chunk_tokens=64, overlap=0)
    assert job.kind is JobKind.RECHUNK
    workshop.idle()
    after = workshop.library.document(document.id)
    assert after.status is DocumentStatus.READY
    assert (after.version, after.chunks > document.chunks) == (1, True)
    located = workshop.library.locate(document.id, quote)
    assert located is not None
    assert located.tokens <= 64
    assert quote in located.text
    workshop.check()


def test_reembed_replaces_vectors_and_keeps_the_text(workshop: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing vectors anew reads no file, keeps chunks and sections, and makes the same vectors again."""
    document = workshop.ready("a.txt", text_about("tapirs", 20))
    before = workshop.library.chunks(document.id)
    sections = workshop.library.sections(document.id)
    _ids, vectors = workshop.chunks.vectors([chunk.id for chunk in before])
    monkeypatch.setattr(type(workshop.parser), "parse", None)
    (job,) = workshop.library.reembed([document.id])
    workshop.idle()
    after = workshop.library.chunks(document.id)
    assert [(c.text, c.position) for c in after] == [(c.text, c.position) for c in before]
    assert {c.id for c in after}.isdisjoint(c.id for c in before)
    assert workshop.library.sections(document.id) == sections
    _ids, again = workshop.chunks.vectors([chunk.id for chunk in after])
    assert np.allclose(vectors, again, atol=1e-2)
    assert workshop.library.jobs()[0].id == job.id
    workshop.check()


def test_rebuild_needs_something_ready(tmp_path: Path, embedder: Embedder) -> None:
    """A document that is not ready, or gone, cannot be chunked anew; impossible sizes are refused."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        intake = workshop.add("a.txt", text_about("gibbons"))
        with pytest.raises(ConflictError, match="not ready"):
            workshop.library.rechunk([intake.document.id])
        with pytest.raises(NotFoundError):
            workshop.library.reembed([999])
        with pytest.raises(BadInputError):
            workshop.library.rechunk([intake.document.id], chunk_tokens=32, overlap=32)
        assert len(workshop.library.jobs()) == 1


def test_documents_are_listed_filtered_and_counted(workshop: LibraryHarness) -> None:
    """Filters by collection, name and status, orders and pages agree with the count; wild cards are plain text."""
    other = workshop.library.create_collection("Other")
    workshop.add("Alpha 100%.txt", text_about("ants"))
    workshop.add("beta_1.txt", text_about("bees", 9))
    workshop.add("betaX1.txt", text_about("wasps"), other.id)
    workshop.ready("broken.pdf", b"%PDF-1.4 broken" + bytes(range(256)))
    library = workshop.library
    assert [d.name for d in library.documents(order="name", descending=False)] == [
        "Alpha 100%.txt",
        "beta_1.txt",
        "betaX1.txt",
        "broken.pdf",
    ]
    assert [d.name for d in library.documents(query="ALPHA")] == ["Alpha 100%.txt"]
    assert [d.name for d in library.documents(query="_")] == ["beta_1.txt"]
    assert [d.name for d in library.documents(query="%")] == ["Alpha 100%.txt"]
    assert [d.name for d in library.documents(collection_ids=[other.id])] == ["betaX1.txt"]
    assert [d.name for d in library.documents(statuses=[DocumentStatus.FAILED])] == ["broken.pdf"]
    assert library.count_documents(statuses=[DocumentStatus.READY]) == 3
    assert library.count_documents(statuses=[DocumentStatus.QUEUED, DocumentStatus.PARSING]) == 0
    assert [d.name for d in library.documents(order="name", descending=False, limit=1, offset=1)] == ["beta_1.txt"]
    assert library.documents(order="chunks")[0].name == "beta_1.txt"
    with pytest.raises(BadInputError):
        library.documents(order="1; DROP TABLE documents")


def test_counts_and_version_follow_every_change(workshop: LibraryHarness) -> None:
    """The version moves whenever something visible changes, and the totals are those of now."""
    seen = {workshop.library.version()}
    document = workshop.ready("a.txt", text_about("newts"))
    for change in (
        lambda: workshop.library.set_enabled([document.id], False),
        lambda: workshop.library.set_enabled([document.id], True),
        lambda: workshop.library.create_collection("New"),
        lambda: workshop.library.apply_retrieval_settings(SERVICE, RetrievalSettings(k=3)),
    ):
        change()
        assert workshop.library.version() not in seen
        seen.add(workshop.library.version())
    counts = workshop.library.counts()
    assert (counts.documents, counts.searchable, counts.chunks) == (1, 1, document.chunks)
    assert counts.bytes == document.size_bytes
    workshop.library.delete([document.id])
    assert workshop.library.counts().documents == 0


def test_retrieval_settings_are_kept(workshop: LibraryHarness) -> None:
    """Applied settings are read back; values out of range are refused and change nothing."""
    settings = RetrievalSettings(k=9, dense_weight=0.5, lexical_weight=2.0, threshold=0.25)
    workshop.library.apply_retrieval_settings(SERVICE, settings)
    for bad in (
        RetrievalSettings(k=0),
        RetrievalSettings(threshold=1.5),
        RetrievalSettings(dense_weight=0, lexical_weight=0),
        RetrievalSettings(lexical_weight=-1),
    ):
        with pytest.raises(BadInputError):
            workshop.library.apply_retrieval_settings(SERVICE, bad)
    assert workshop.library.retrieval_settings() == settings


def test_quotation_is_located_despite_white_space(workshop: LibraryHarness) -> None:
    """A quotation with other line breaks is found; one that the document does not contain is not."""
    document = workshop.ready("a.txt", text_about("ibises", 12))
    quote = "Paragraph 11 about\nibises.   The ibises of number 11 is described"
    located = workshop.library.locate(document.id, quote)
    assert located is not None
    assert "Paragraph 11" in located.text
    assert workshop.library.locate(document.id, "Quantum chromodynamics binds quarks into hadrons") is None
    assert workshop.library.locate(document.id, "  ") is None


def test_hundreds_of_documents_are_deleted_in_a_few_transactions(
    workshop: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting many documents shares transactions, up to a bound, and leaves nothing of any."""
    monkeypatch.setattr(library, "_DELETED_AT_ONCE", 40)
    for i in range(60):
        workshop.add(f"{i}.txt", f"Number {i} is a very short text.")
    workshop.idle()
    before = workshop.library.version()
    report = workshop.library.delete([document.id for document in workshop.library.documents(limit=1000)])
    assert (report.documents, report.chunks) == (60, 60)
    assert workshop.library.version() - before == 3
    assert workshop.library.count_documents() == 0
    assert workshop.stored_files() == set()
    workshop.check()


def test_pages_of_a_pdf_can_be_seen(workshop: LibraryHarness) -> None:
    """A page comes as PNG; pages beyond the last and documents without pages are refused with a reason."""
    document = workshop.ready("hills.pdf", pdf(2))
    assert [chunk.page for chunk in workshop.library.chunks(document.id)] == [1, 2]
    assert workshop.library.page_image(document.id, 2, width=200, highlight=["mountains"]).startswith(b"\x89PNG")
    with pytest.raises(NotFoundError):
        workshop.library.page_image(document.id, 3)
    text = workshop.ready("a.txt", text_about("plains"))
    with pytest.raises(BadInputError, match="Only pages of PDF"):
        workshop.library.page_image(text.id, 1)


def test_texts_of_a_program_are_not_embedded_by_us(workshop: LibraryHarness, embedder: Embedder) -> None:
    """What a program brought along with ids and vectors of its own stays as it is when others are embedded anew."""
    where = workshop.library.default_collection().id
    store = ExternalStore(workshop.database, where, "programs", "some other model")
    with workshop.ingestion.writer.change() as change:
        text = ExternalText("one", ChunkDraft("A text of a program.", 7, "text program"), {"kept": True})
        change.switches.append(store.upsert(change.connection, [text], embedder.embed_chunks([text.draft.text])))
    (document,) = workshop.library.documents()
    with pytest.raises(ConflictError, match="brought along"):
        workshop.library.reembed([document.id])
    assert outdated(workshop.database, embedder.fingerprint) == []
    assert store.get(["one"])[0].metadata == {"kept": True}
