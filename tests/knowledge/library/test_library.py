from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.core.actor import SERVICE, Actor
from services.core.errors import BadInputError, ConflictError, NotFoundError, StorageError
from services.integrations.langchain_store import ExternalStore, ExternalText
from services.knowledge import library
from services.knowledge.embedding import Embedder
from services.knowledge.library import Library
from services.knowledge.store.intake import outdated_documents
from services.knowledge.types import ChunkDraft, DocumentStatus, JobKind, RetrievalSettings
from tests.knowledge.library_harness import LibraryHarness, pdf, text_about


def test_disabled_document_stays_but_does_not_answer(harness: LibraryHarness) -> None:
    """Disabling takes a document's chunks out of reach of searches without deleting them; enabling brings them back."""
    document = harness.ready("a.txt", text_about("herons"))
    ids = [chunk.id for chunk in harness.library.reader.chunks(SERVICE, document.id)]
    harness.library.set_enabled(SERVICE, [document.id], False)
    assert not harness.library.document(SERVICE, document.id).searchable
    assert harness.chunks.hits(ids) == {}
    assert harness.chunks.active_ids()[1].tolist() == [-1] * len(ids)
    harness.check()
    harness.library.set_enabled(SERVICE, [document.id], True)
    assert set(harness.chunks.hits(ids)) == set(ids)
    harness.check()


def test_document_that_is_disabled_while_it_is_taken_in_stays_disabled(tmp_path: Path, embedder: Embedder) -> None:
    """What was switched off before it was ready is not searchable when it is."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        intake = harness.add("a.txt", text_about("storks"))
        harness.library.set_enabled(SERVICE, [intake.document.id], False)
        harness.ingestion.start()
        harness.idle()
        assert harness.library.document(SERVICE, intake.document.id).status is DocumentStatus.READY
        assert set(harness.chunks.active_ids()[1].tolist()) == {-1}
        harness.check()


def test_moved_document_answers_in_its_new_collection(harness: LibraryHarness) -> None:
    """Moving changes the group of every chunk in the index; a name that is taken there prevents it."""
    document = harness.ready("a.txt", text_about("cranes"))
    other = harness.library.create_collection(SERVICE, "Other")
    harness.library.move(SERVICE, [document.id], other.id)
    assert harness.library.document(SERVICE, document.id).collection == "Other"
    assert set(harness.chunks.active_ids()[1].tolist()) == {other.id}
    harness.check()
    clash = harness.ready("a.txt", text_about("geese"))
    with pytest.raises(ConflictError, match="same name"):
        harness.library.move(SERVICE, [clash.id], other.id)
    assert harness.library.document(SERVICE, clash.id).collection_id != other.id
    harness.check()


def test_deletion_takes_everything_at_once_and_says_what(harness: LibraryHarness) -> None:
    """File, chunks, terms, vectors and jobs go; the report counts them; others stay."""
    gone = harness.ready("gone.txt", text_about("dodos", 9))
    kept = harness.ready("kept.txt", text_about("emus", 9))
    report = harness.library.delete(SERVICE, [gone.id, gone.id, 999])
    assert (report.documents, report.chunks, report.bytes) == (1, gone.chunks, gone.size_bytes)
    assert harness.matching("dodo") == []
    assert harness.library.counts(SERVICE).chunks == kept.chunks
    with pytest.raises(NotFoundError):
        harness.library.document(SERVICE, gone.id)
    assert [job.document for job in harness.library.jobs.recent(SERVICE)] == ["kept.txt"]
    harness.check()


def test_chunk_ids_are_never_used_again(harness: LibraryHarness) -> None:
    """A citation of a deleted chunk finds nothing, instead of another document's text."""
    first = harness.ready("a.txt", text_about("finches"))
    ids = [chunk.id for chunk in harness.library.reader.chunks(SERVICE, first.id)]
    harness.library.delete(SERVICE, [first.id])
    second = harness.ready("b.txt", text_about("wrens"))
    assert min(chunk.id for chunk in harness.library.reader.chunks(SERVICE, second.id)) > max(ids)
    assert harness.library.reader.chunk(SERVICE, ids[0]) is None


def test_collections_have_distinct_visible_names(harness: LibraryHarness) -> None:
    """Names are trimmed, must be visible and unique; renaming follows the same rules."""
    law = harness.library.create_collection(SERVICE, "  Law\n")
    assert law.name == "Law"
    with pytest.raises(ConflictError):
        harness.library.create_collection(SERVICE, "Law")
    with pytest.raises(BadInputError):
        harness.library.create_collection(SERVICE, " \u200b ")
    assert harness.library.rename_collection(SERVICE, law.id, "Tax").name == "Tax"
    with pytest.raises(ConflictError):
        harness.library.rename_collection(SERVICE, law.id, harness.library.default_collection(SERVICE).name)
    with pytest.raises(NotFoundError):
        harness.library.rename_collection(SERVICE, 999, "Nothing")
    assert [c.name for c in harness.library.collections(SERVICE)] == ["General", "Tax"]


def test_deleted_collection_takes_its_documents_along(harness: LibraryHarness) -> None:
    """Documents of a deleted collection go with it, those of others stay; the last collection comes back empty."""
    law = harness.library.create_collection(SERVICE, "Law")
    harness.ready("a.txt", text_about("torts"), law.id)
    kept = harness.ready("b.txt", text_about("swifts"))
    report = harness.library.delete_collection(SERVICE, law.id)
    assert report.documents == 1
    assert [d.id for d in harness.library.documents(SERVICE)] == [kept.id]
    with pytest.raises(NotFoundError):
        harness.add("c.txt", "text", law.id)
    harness.library.delete_collection(SERVICE, kept.collection_id)
    assert [c.documents for c in harness.library.collections(SERVICE)] == [0]
    harness.check()


def test_a_collection_whose_deletion_was_interrupted_goes_at_the_next_start(
    harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between its documents leaves a collection of which some are gone: the rest follow, nothing is added."""
    law = harness.library.create_collection(SERVICE, "Law")
    for name in ("a.txt", "b.txt"):
        harness.ready(name, text_about(name), law.id)

    def killed(actor: Actor, ids: list[int], **keywords: object) -> None:
        Library.delete(harness.library, actor, ids[:1], **keywords)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(harness.library, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.library.delete_collection(SERVICE, law.id)
    assert harness.library.count_documents(SERVICE) == 1
    with pytest.raises(NotFoundError):
        harness.add("c.txt", "text", law.id)
    harness.library.finish_deletions()
    assert harness.library.count_documents(SERVICE) == 0
    assert [each.name for each in harness.library.collections(SERVICE)] == ["General"]
    harness.check()


def test_a_collection_that_could_not_be_deleted_is_kept(
    harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error that was told, the collection takes documents again, and the next start deletes nothing."""
    law = harness.library.create_collection(SERVICE, "Law")
    harness.ready("a.txt", text_about("torts"), law.id)

    def refused(_actor: Actor, _ids: list[int], **_keywords: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(harness.library, "delete", refused)
        with pytest.raises(StorageError):
            harness.library.delete_collection(SERVICE, law.id)
    harness.library.finish_deletions()
    harness.ready("b.txt", text_about("deeds"), law.id)
    assert harness.library.count_documents(SERVICE, [law.id]) == 2


def test_rechunk_builds_beside_the_old_and_switches(harness: LibraryHarness) -> None:
    """Smaller chunks replace the larger ones of the same version; a quotation is found in the new ones."""
    document = harness.ready("a.txt", text_about("lemurs", 20))
    quote = harness.library.reader.chunks(SERVICE, document.id)[-1].text[-60:]
    (job,) = harness.library.jobs.rechunk(SERVICE, [document.id], chunk_tokens=64, overlap=0)
    assert job.kind is JobKind.RECHUNK
    harness.idle()
    after = harness.library.document(SERVICE, document.id)
    assert after.status is DocumentStatus.READY
    assert (after.version, after.chunks > document.chunks) == (1, True)
    located = harness.library.reader.locate(SERVICE, document.id, quote)
    assert located is not None
    assert located.tokens <= 64
    assert quote in located.text
    harness.check()


def test_reembed_replaces_vectors_and_keeps_the_text(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing vectors anew reads no file, keeps chunks and sections, and makes the same vectors again."""
    document = harness.ready("a.txt", text_about("tapirs", 20))
    before = harness.library.reader.chunks(SERVICE, document.id)
    sections = harness.library.reader.sections(SERVICE, document.id)
    _ids, vectors = harness.chunks.vectors([chunk.id for chunk in before])
    monkeypatch.setattr(type(harness.parser), "parse", None)
    (job,) = harness.library.jobs.reembed(SERVICE, [document.id])
    harness.idle()
    after = harness.library.reader.chunks(SERVICE, document.id)
    assert [(c.text, c.position) for c in after] == [(c.text, c.position) for c in before]
    assert {c.id for c in after}.isdisjoint(c.id for c in before)
    assert harness.library.reader.sections(SERVICE, document.id) == sections
    _ids, again = harness.chunks.vectors([chunk.id for chunk in after])
    assert np.allclose(vectors, again, atol=1e-2)
    assert harness.library.jobs.recent(SERVICE)[0].id == job.id
    harness.check()


def test_rebuild_needs_something_ready(tmp_path: Path, embedder: Embedder) -> None:
    """A document that is not ready, or gone, cannot be chunked anew; impossible sizes are refused."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        intake = harness.add("a.txt", text_about("gibbons"))
        with pytest.raises(ConflictError, match="not ready"):
            harness.library.jobs.rechunk(SERVICE, [intake.document.id])
        with pytest.raises(NotFoundError):
            harness.library.jobs.reembed(SERVICE, [999])
        with pytest.raises(BadInputError):
            harness.library.jobs.rechunk(SERVICE, [intake.document.id], chunk_tokens=32, overlap=32)
        assert len(harness.library.jobs.recent(SERVICE)) == 1


def test_documents_are_listed_filtered_and_counted(harness: LibraryHarness) -> None:
    """Filters by collection, name and status, orders and pages agree with the count; wild cards are plain text."""
    other = harness.library.create_collection(SERVICE, "Other")
    harness.add("Alpha 100%.txt", text_about("ants"))
    harness.add("beta_1.txt", text_about("bees", 9))
    harness.add("betaX1.txt", text_about("wasps"), other.id)
    harness.ready("broken.pdf", b"%PDF-1.4 broken" + bytes(range(256)))
    library = harness.library
    assert [d.name for d in library.documents(SERVICE, order="name", descending=False)] == [
        "Alpha 100%.txt",
        "beta_1.txt",
        "betaX1.txt",
        "broken.pdf",
    ]
    assert [d.name for d in library.documents(SERVICE, query="ALPHA")] == ["Alpha 100%.txt"]
    assert [d.name for d in library.documents(SERVICE, query="_")] == ["beta_1.txt"]
    assert [d.name for d in library.documents(SERVICE, query="%")] == ["Alpha 100%.txt"]
    assert [d.name for d in library.documents(SERVICE, collection_ids=[other.id])] == ["betaX1.txt"]
    assert [d.name for d in library.documents(SERVICE, statuses=[DocumentStatus.FAILED])] == ["broken.pdf"]
    assert library.count_documents(SERVICE, statuses=[DocumentStatus.READY]) == 3
    assert library.count_documents(SERVICE, statuses=[DocumentStatus.QUEUED, DocumentStatus.PARSING]) == 0
    assert [d.name for d in library.documents(SERVICE, order="name", descending=False, limit=1, offset=1)] == [
        "beta_1.txt"
    ]
    assert library.documents(SERVICE, order="chunks")[0].name == "beta_1.txt"
    with pytest.raises(BadInputError):
        library.documents(SERVICE, order="1; DROP TABLE documents")


def test_counts_and_version_follow_every_change(harness: LibraryHarness) -> None:
    """The version moves whenever something visible changes, and the totals are those of now."""
    seen = {harness.library.version()}
    document = harness.ready("a.txt", text_about("newts"))
    for change in (
        lambda: harness.library.set_enabled(SERVICE, [document.id], False),
        lambda: harness.library.set_enabled(SERVICE, [document.id], True),
        lambda: harness.library.create_collection(SERVICE, "New"),
        lambda: harness.library.apply_retrieval_settings(SERVICE, RetrievalSettings(k=3)),
    ):
        change()
        assert harness.library.version() not in seen
        seen.add(harness.library.version())
    counts = harness.library.counts(SERVICE)
    assert (counts.documents, counts.searchable, counts.chunks) == (1, 1, document.chunks)
    assert counts.bytes == document.size_bytes
    harness.library.delete(SERVICE, [document.id])
    assert harness.library.counts(SERVICE).documents == 0


def test_retrieval_settings_are_kept(harness: LibraryHarness) -> None:
    """Applied settings are read back; values out of range are refused and change nothing."""
    settings = RetrievalSettings(k=9, dense_weight=0.5, lexical_weight=2.0, threshold=0.25)
    harness.library.apply_retrieval_settings(SERVICE, settings)
    for bad in (
        RetrievalSettings(k=0),
        RetrievalSettings(threshold=1.5),
        RetrievalSettings(dense_weight=0, lexical_weight=0),
        RetrievalSettings(lexical_weight=-1),
    ):
        with pytest.raises(BadInputError):
            harness.library.apply_retrieval_settings(SERVICE, bad)
    assert harness.library.retrieval_settings() == settings


def test_quotation_is_located_despite_white_space(harness: LibraryHarness) -> None:
    """A quotation with other line breaks is found; one that the document does not contain is not."""
    document = harness.ready("a.txt", text_about("ibises", 12))
    quote = "Paragraph 11 about\nibises.   The ibises of number 11 is described"
    located = harness.library.reader.locate(SERVICE, document.id, quote)
    assert located is not None
    assert "Paragraph 11" in located.text
    assert (
        harness.library.reader.locate(SERVICE, document.id, "Quantum chromodynamics binds quarks into hadrons") is None
    )
    assert harness.library.reader.locate(SERVICE, document.id, "  ") is None


def test_hundreds_of_documents_are_deleted_in_a_few_transactions(
    harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting many documents shares transactions, up to a bound, and leaves nothing of any."""
    monkeypatch.setattr(library, "_DELETION_BATCH", 40)
    for i in range(60):
        harness.add(f"{i}.txt", f"Number {i} is a very short text.")
    harness.idle()
    before = harness.library.version()
    report = harness.library.delete(
        SERVICE, [document.id for document in harness.library.documents(SERVICE, limit=1000)]
    )
    assert (report.documents, report.chunks) == (60, 60)
    assert harness.library.version() - before == 4  # three transactions, and the word to whoever measures anew
    assert harness.library.count_documents(SERVICE) == 0
    assert harness.stored_files() == set()
    harness.check()


def test_pages_of_a_pdf_can_be_seen(harness: LibraryHarness) -> None:
    """A page comes as PNG; pages beyond the last and documents without pages are refused with a reason."""
    document = harness.ready("hills.pdf", pdf(2))
    assert [chunk.page for chunk in harness.library.reader.chunks(SERVICE, document.id)] == [1, 2]
    assert harness.library.reader.page_image(SERVICE, document.id, 2, width=200, highlight=["mountains"]).startswith(
        b"\x89PNG"
    )
    with pytest.raises(NotFoundError):
        harness.library.reader.page_image(SERVICE, document.id, 3)
    text = harness.ready("a.txt", text_about("plains"))
    with pytest.raises(BadInputError, match="Only pages of PDF"):
        harness.library.reader.page_image(SERVICE, text.id, 1)


def test_texts_of_a_program_are_not_embedded_by_us(harness: LibraryHarness, embedder: Embedder) -> None:
    """What a program brought along with ids and vectors of its own stays as it is when others are embedded anew."""
    where = harness.library.default_collection(SERVICE).id
    store = ExternalStore(harness.database, where, "programs", "some other model")
    with harness.ingestion.writer.transaction() as unit:
        text = ExternalText("one", ChunkDraft("A text of a program.", 7, "text program"), {"kept": True})
        unit.switches.append(store.upsert(unit.connection, [text], embedder.embed_chunks([text.draft.text])))
    (document,) = harness.library.documents(SERVICE)
    with pytest.raises(ConflictError, match="added by a program"):
        harness.library.jobs.reembed(SERVICE, [document.id])
    assert outdated_documents(harness.database, embedder.fingerprint) == []
    assert store.get(["one"])[0].metadata == {"kept": True}
