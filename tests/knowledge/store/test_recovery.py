from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.core.errors import StorageError
from services.knowledge.embedding import Embedder
from services.knowledge.store import revisions
from services.knowledge.store.intake import recover
from services.knowledge.types import DocumentStatus, JobKind
from tests.knowledge.barriers import OtherEmbedder, gated_parser, status_of
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, text_about


def test_stopped_service_goes_on_where_it_was(tmp_path: Path, embedder: Embedder) -> None:
    """Closing in the middle of the work loses nothing: the next start finishes it, and it does not count as a crash."""
    with LibraryHarness(tmp_path / "data", embedder) as workshop, gated_parser(workshop) as gate:
        for i in range(4):
            workshop.add(f"{i}.txt", text_about(f"subject{i}"))
        gate.arrived()
        workshop.ingestion.close()
        assert {job.status for job in workshop.library.jobs()} == {DocumentStatus.QUEUED}
    for _ in range(4):
        with LibraryHarness(tmp_path / "data", embedder) as workshop, gated_parser(workshop) as gate:
            gate.arrived()
            workshop.ingestion.close()
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        workshop.idle()
        assert {job.status for job in workshop.library.jobs()} == {DocumentStatus.READY}
        assert workshop.library.counts().searchable == 4
        workshop.check()


def test_file_that_takes_the_process_down_is_given_up(tmp_path: Path, embedder: Embedder) -> None:
    """A job that was in work during three crashes fails with a message; others go on; it can be retried."""
    for crash in range(3):
        # A process that is killed puts nothing back: here it takes the job and is gone.
        with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
            if not crash:
                bad = workshop.add("bad.txt", text_about("basilisks"))
                workshop.add("good.txt", text_about("griffins"))
            else:
                workshop.ingestion.job_store.put_back = lambda: None  # type: ignore[method-assign]
                with gated_parser(workshop, only="bad") as gate:
                    workshop.ingestion.start()
                    gate.arrived()
                    assert gate.names == ["bad.txt"], "a suspect is tried alone"
                    workshop.ingestion.close()
                continue
            assert workshop.ingestion.job_store.claim("") is not None
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        workshop.idle()
        document = workshop.library.document(bad.document.id)
        assert document.status is DocumentStatus.FAILED
        assert "3 times" in document.error
        assert workshop.matching("griffin")
        workshop.library.retry(document.job_id or 0)
        workshop.idle()
        assert status_of(workshop, bad.document.id) is DocumentStatus.READY
        workshop.check()


def test_half_built_revisions_are_swept(tmp_path: Path, embedder: Embedder) -> None:
    """Chunks and sections that a killed process had written, and files without a row, are gone after the start."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        workshop.add("a.txt", text_about("yaks", 9))
        claim = workshop.ingestion.job_store.claim(embedder.fingerprint)
        assert claim is not None
        parsed = workshop.parser.parse(workshop.files.path(claim.stored), "a.txt", chunk_tokens=64, overlap=0)
        vectors = embedder.embed_chunks([draft.text for draft in parsed.chunks])
        with workshop.ingestion.writer.change() as change:
            revisions.insert_sections(change.connection, claim.revision_id, parsed.sections)
            revisions.insert_chunks(change.connection, claim.revision_id, list(parsed.chunks), vectors)
        assert workshop.chunks.active_ids()[0].tolist() == []
        with workshop.files.receive() as incoming:
            incoming.write(b"never told to the database")
            stray = incoming.finish().stored
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        recovered = recover(workshop.database, 3)
        assert recovered.chunks_swept == len(vectors)
        assert (workshop.count("chunks"), workshop.count("sections")) == (0, 0)
        workshop.ingestion.start()
        workshop.idle()
        assert stray not in workshop.stored_files()
        assert workshop.library.document(1).status is DocumentStatus.READY
        workshop.check()


def test_another_embedding_model_has_everything_embedded_anew(tmp_path: Path, embedder: Embedder) -> None:
    """After a change of the model documents are queued by themselves and answer with vectors of the new one."""
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        document = workshop.ready("a.txt", text_about("ferrets", 9))
        before = [chunk.text for chunk in workshop.library.chunks(document.id)]
    other = OtherEmbedder(embedder, fingerprint="another model")
    with LibraryHarness(tmp_path / "data", other) as workshop:  # type: ignore[arg-type]
        workshop.idle()
        job = workshop.library.jobs()[0]
        assert (job.kind, job.status) == (JobKind.REEMBED, DocumentStatus.READY)
        assert [chunk.text for chunk in workshop.library.chunks(document.id)] == before
        assert len(workshop.chunks.active_ids("another model")[0]) == document.chunks
        assert len(workshop.keeper.index) == document.chunks
        workshop.check()
    with LibraryHarness(tmp_path / "data", other) as workshop:  # type: ignore[arg-type]
        assert len(workshop.library.jobs()) == 2


def test_defect_costs_one_job(workshop: LibraryHarness) -> None:
    """An unexpected error fails its job with a reference to the log; the threads live on."""
    parse = workshop.parser.parse

    def broken(path: Path, name: str, **keywords: Any) -> Any:
        if name == "bad.txt":
            raise ZeroDivisionError
        return parse(path, name, **keywords)

    workshop.parser.parse = broken  # type: ignore[method-assign]
    bad = workshop.add("bad.txt", text_about("gremlins"))
    for i in range(3):
        assert workshop.ready(f"{i}.txt", text_about(f"subject{i}")).status is DocumentStatus.READY
    document = workshop.library.document(bad.document.id)
    assert document.status is DocumentStatus.FAILED
    assert "reference" in document.error
    workshop.parser.parse = parse  # type: ignore[method-assign]
    workshop.library.retry(document.job_id or 0)
    workshop.idle()
    assert status_of(workshop, document.id) is DocumentStatus.READY


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
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        for subject in ("elves", "trolls", "dwarves", "ents"):
            workshop.add(f"{subject}.txt", text_about(subject))
        workshop.ingestion.start()
        workshop.idle()
        states = {d.name: (d.status, d.error) for d in workshop.library.documents()}
        assert states.pop("trolls.txt") == (DocumentStatus.FAILED, "The disk is full.")
        assert set(states.values()) == {(DocumentStatus.READY, "")}
        workshop.check()


def test_queue_waits_while_space_is_low(tmp_path: Path, embedder: Embedder) -> None:
    """With too little disk space the queue pauses and says why; when there is room it goes on by itself."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
        intake = workshop.add("a.txt", text_about("ibexes"))
        wrong = ["Only 1 MB is free."]
        workshop.files.low_space = lambda: wrong[0]  # type: ignore[method-assign]
        workshop.ingestion.start()
        assert workshop.ingestion.board.wait(lambda: bool(workshop.ingestion.paused), DEADLINE, poll_seconds=0.01)
        assert workshop.ingestion.paused == "Only 1 MB is free."
        assert status_of(workshop, intake.document.id) is DocumentStatus.QUEUED
        wrong[0] = ""
        workshop.ingestion.wake()
        workshop.idle()
        assert status_of(workshop, intake.document.id) is DocumentStatus.READY
        assert workshop.ingestion.paused == ""
