from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.core.actor import SERVICE
from services.core.errors import StorageError
from services.knowledge.embedding import Embedder
from services.knowledge.store import revisions
from services.knowledge.store.intake import recover_jobs
from services.knowledge.types import DocumentStatus, JobKind
from tests.knowledge.barriers import OtherEmbedder, blocked_parser, status_of
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, text_about


def test_stopped_service_goes_on_where_it_was(tmp_path: Path, embedder: Embedder) -> None:
    """Closing in the middle of the work loses nothing: the next start finishes it, and it does not count as a crash."""
    with LibraryHarness(tmp_path / "data", embedder) as harness, blocked_parser(harness) as barrier:
        for i in range(4):
            harness.add(f"{i}.txt", text_about(f"subject{i}"))
        barrier.arrived()
        harness.ingestion.close()
        assert {job.status for job in harness.library.jobs.recent(SERVICE)} == {DocumentStatus.QUEUED}
    for _ in range(4):
        with LibraryHarness(tmp_path / "data", embedder) as harness, blocked_parser(harness) as barrier:
            barrier.arrived()
            harness.ingestion.close()
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.idle()
        assert {job.status for job in harness.library.jobs.recent(SERVICE)} == {DocumentStatus.READY}
        assert harness.library.counts(SERVICE).searchable == 4
        harness.check()


def test_file_that_takes_the_process_down_is_given_up(tmp_path: Path, embedder: Embedder) -> None:
    """A job that was in work during three crashes fails with a message; others go on; it can be retried."""
    for crash in range(3):
        # A process that is killed puts nothing back: here it takes the job and is gone.
        with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
            if not crash:
                bad = harness.add("bad.txt", text_about("basilisks"))
                harness.add("good.txt", text_about("griffins"))
            else:
                harness.ingestion.job_store.requeue_active = lambda: None  # type: ignore[method-assign]
                with blocked_parser(harness, only="bad") as barrier:
                    harness.ingestion.start()
                    barrier.arrived()
                    assert barrier.names == ["bad.txt"], "a suspect is tried alone"
                    harness.ingestion.close()
                continue
            assert harness.ingestion.job_store.claim("", bad.document.job_id or 0) is not None
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.idle()
        document = harness.library.document(SERVICE, bad.document.id)
        assert document.status is DocumentStatus.FAILED
        assert "3 times" in document.error
        assert harness.matching("griffin")
        harness.library.jobs.retry(SERVICE, document.job_id or 0)
        harness.idle()
        assert status_of(harness, bad.document.id) is DocumentStatus.READY
        harness.check()


def test_half_built_revisions_are_swept(tmp_path: Path, embedder: Embedder) -> None:
    """Chunks and sections that a killed process had written, and files without a row, are gone after the start."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        added = harness.add("a.txt", text_about("yaks", 9))
        claim = harness.ingestion.job_store.claim(embedder.fingerprint, added.document.job_id or 0)
        assert claim is not None
        with harness.files.opened(claim.stored, claim.sha256) as path:
            parsed = harness.parser.parse(path, "a.txt", chunk_tokens=64, overlap=0)
        vectors = embedder.embed_chunks([draft.text for draft in parsed.chunks])
        with harness.ingestion.writer.transaction() as unit:
            revisions.insert_sections(unit.connection, claim.revision_id, parsed.sections)
            revisions.insert_chunks(unit.connection, claim.revision_id, list(parsed.chunks), vectors)
        assert harness.chunks.active_ids()[0].tolist() == []
        with harness.files.create() as incoming:
            incoming.write(b"never told to the database")
            stray = incoming.finish().stored
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        recovered = recover_jobs(harness.database, 3)
        assert recovered.chunks_swept == len(vectors)
        assert (harness.count("chunks"), harness.count("sections")) == (0, 0)
        harness.ingestion.start()
        harness.idle()
        assert stray not in harness.stored_files()
        assert harness.library.document(SERVICE, 1).status is DocumentStatus.READY
        harness.check()


def test_another_embedding_model_has_everything_embedded_anew(tmp_path: Path, embedder: Embedder) -> None:
    """After a change of the model documents are queued by themselves and answer with vectors of the new one."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        document = harness.ready("a.txt", text_about("ferrets", 9))
        before = [chunk.text for chunk in harness.library.reader.chunks(SERVICE, document.id)]
    other = OtherEmbedder(embedder, fingerprint="another model")
    with LibraryHarness(tmp_path / "data", other) as harness:  # type: ignore[arg-type]
        harness.idle()
        job = harness.library.jobs.recent(SERVICE)[0]
        assert (job.kind, job.status) == (JobKind.REEMBED, DocumentStatus.READY)
        assert [chunk.text for chunk in harness.library.reader.chunks(SERVICE, document.id)] == before
        assert len(harness.chunks.active_ids("another model")[0]) == document.chunks
        assert len(harness.index_manager.index) == document.chunks
        harness.check()
    with LibraryHarness(tmp_path / "data", other) as harness:  # type: ignore[arg-type]
        assert len(harness.library.jobs.recent(SERVICE)) == 2


def test_defect_costs_one_job(harness: LibraryHarness) -> None:
    """An unexpected error fails its job with a reference to the log; the threads live on."""
    parse = harness.parser.parse

    def broken(path: Path, name: str, **keywords: Any) -> Any:
        if name == "bad.txt":
            raise ZeroDivisionError
        return parse(path, name, **keywords)

    harness.parser.parse = broken  # type: ignore[method-assign]
    bad = harness.add("bad.txt", text_about("gremlins"))
    for i in range(3):
        assert harness.ready(f"{i}.txt", text_about(f"subject{i}")).status is DocumentStatus.READY
    document = harness.library.document(SERVICE, bad.document.id)
    assert document.status is DocumentStatus.FAILED
    assert "reference" in document.error
    harness.parser.parse = parse  # type: ignore[method-assign]
    harness.library.jobs.retry(SERVICE, document.job_id or 0)
    harness.idle()
    assert status_of(harness, document.id) is DocumentStatus.READY


def test_one_file_that_cannot_be_stored_fails_alone(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that share a transaction do not share the failure of one of them."""
    insert = revisions.insert_chunks

    def refusing(connection: Any, revision_id: int, drafts: Any, *args: Any, **keywords: Any) -> Any:
        if "trolls" in drafts[0].text:
            raise StorageError("The disk is full.", "Free some space.")
        return insert(connection, revision_id, drafts, *args, **keywords)

    monkeypatch.setattr(revisions, "insert_chunks", refusing)
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        for subject in ("elves", "trolls", "dwarves", "ents"):
            harness.add(f"{subject}.txt", text_about(subject))
        harness.ingestion.start()
        harness.idle()
        states = {d.name: (d.status, d.error) for d in harness.library.documents(SERVICE)}
        assert states.pop("trolls.txt") == (DocumentStatus.FAILED, "The disk is full.")
        assert set(states.values()) == {(DocumentStatus.READY, "")}
        harness.check()


def test_queue_waits_while_space_is_low(tmp_path: Path, embedder: Embedder) -> None:
    """With too little disk space the queue pauses and says why; when there is room it goes on by itself."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        intake = harness.add("a.txt", text_about("ibexes"))
        wrong = ["Only 1 MB is free."]
        harness.files.shortage = lambda: wrong[0]  # type: ignore[method-assign]
        harness.ingestion.start()
        assert harness.ingestion.board.wait(lambda: bool(harness.ingestion.pause_reason), DEADLINE, poll_seconds=0.01)
        assert harness.ingestion.pause_reason == "Only 1 MB is free."
        assert status_of(harness, intake.document.id) is DocumentStatus.QUEUED
        wrong[0] = ""
        harness.ingestion.wake()
        harness.idle()
        assert status_of(harness, intake.document.id) is DocumentStatus.READY
        assert harness.ingestion.pause_reason == ""
