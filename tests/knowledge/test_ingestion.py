from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.errors import CancelledError, ConflictError, NotFoundError, StorageError
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion import embedding as embedding_stage
from services.knowledge.store import writing
from services.knowledge.store.recovery import recover
from services.knowledge.types import DocumentStatus, JobKind, Progress
from tests.knowledge.workshop import DEADLINE, Workshop, pdf, text_about


class Gate:
    """Holds a stage back until it is opened, as a slow file would."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.names: list[str] = []

    def pass_through(self, cancelled: Callable[[], bool]) -> None:
        self.entered.set()
        while not self.opened.wait(0.01):
            if cancelled():
                raise CancelledError("held back")

    def arrived(self) -> None:
        assert self.entered.wait(DEADLINE)


@contextmanager
def gated_parser(workshop: Workshop, only: str = "") -> Iterator[Gate]:
    """Hold back files whose name contains `only` before they are parsed."""
    gate, parse = Gate(), workshop.parser.parse

    def slow(path: Path, name: str, **keywords: Any) -> Any:
        gate.names.append(name)
        if only in name:
            gate.pass_through(keywords["cancelled"])
        return parse(path, name, **keywords)

    workshop.parser.parse = slow  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        gate.opened.set()
        workshop.parser.parse = parse  # type: ignore[method-assign]


class OtherEmbedder:
    """The embedder under a changed name, or held back by a gate."""

    def __init__(self, embedder: Embedder, *, fingerprint: str = "", gate: Gate | None = None) -> None:
        self._embedder = embedder
        self._gate = gate
        self.fingerprint = fingerprint or embedder.fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_chunks(self, texts: list[str], **keywords: Any) -> Any:
        if self._gate is not None:
            self._gate.pass_through(keywords["cancelled"])
        return self._embedder.embed_chunks(texts, **keywords)


def status_of(workshop: Workshop, document_id: int) -> DocumentStatus:
    return workshop.library.document(document_id).status


def test_progress_goes_through_every_state(workshop: Workshop) -> None:
    """A PDF is queued, parsed page by page, embedded chunk by chunk; every session reads the same from the board."""
    shown: list[tuple[DocumentStatus, Progress]] = []
    show = workshop.ingestion.board.show

    def listening(job_id: int, status: DocumentStatus, progress: Progress | None = None) -> None:
        shown.append((status, progress or Progress()))
        show(job_id, status, progress)

    workshop.ingestion.board.show = listening  # type: ignore[method-assign]
    document = workshop.ready("hills.pdf", pdf(3))
    assert document.status is DocumentStatus.READY
    assert (document.pages, document.progress) == (3, Progress())
    order = list(dict.fromkeys(status for status, _progress in shown))
    assert order == [DocumentStatus.QUEUED, DocumentStatus.PARSING, DocumentStatus.EMBEDDING]
    assert (DocumentStatus.PARSING, Progress(3, 3, "page")) in shown
    assert (DocumentStatus.EMBEDDING, Progress(0, document.chunks, "chunk")) in shown
    assert (DocumentStatus.EMBEDDING, Progress(document.chunks, document.chunks, "chunk")) in shown
    assert all(0 <= progress.done <= progress.total for _status, progress in shown)


def test_state_in_work_is_seen_and_filtered(workshop: Workshop) -> None:
    """While a file is parsed its document says so, and filters by state find it."""
    with gated_parser(workshop) as gate:
        intake = workshop.add("a.txt", text_about("elks"))
        gate.arrived()
        assert status_of(workshop, intake.document.id) is DocumentStatus.PARSING
        assert workshop.library.count_documents(statuses=[DocumentStatus.PARSING]) == 1
        assert workshop.library.count_documents(statuses=[DocumentStatus.QUEUED, DocumentStatus.READY]) == 0
        assert [job.status for job in workshop.library.jobs(unfinished_only=True)] == [DocumentStatus.PARSING]
        assert workshop.library.counts().jobs_unfinished == 1
    workshop.idle()
    assert workshop.library.jobs(unfinished_only=True) == []


def test_job_is_cancelled_while_its_file_is_parsed_and_retried(workshop: Workshop) -> None:
    """A cancelled job ends at once and leaves no chunks; its file stays, so that a retry makes it ready."""
    with gated_parser(workshop) as gate:
        intake = workshop.add("a.txt", text_about("moose"))
        gate.arrived()
        workshop.library.cancel(intake.document.job_id or 0)
        assert status_of(workshop, intake.document.id) is DocumentStatus.CANCELLED
        workshop.idle()
        assert workshop.count("chunks") == 0
        with pytest.raises(ConflictError):
            workshop.library.cancel(intake.document.job_id or 0)
    assert workshop.library.retry(intake.document.job_id or 0).document == "a.txt"
    workshop.idle()
    assert status_of(workshop, intake.document.id) is DocumentStatus.READY
    with pytest.raises(ConflictError):
        workshop.library.retry(intake.document.job_id or 0)
    workshop.check()


def test_job_is_cancelled_while_its_chunks_are_embedded(tmp_path: Path, embedder: Embedder) -> None:
    """Cancelling reaches the embedding stage; another file that waits behind goes through."""
    gate = Gate()
    held_back = OtherEmbedder(embedder, gate=gate)
    with Workshop(tmp_path / "data", held_back) as workshop:  # type: ignore[arg-type]
        first = workshop.add("a.txt", text_about("lynxes"))
        gate.arrived()
        second = workshop.add("b.txt", text_about("wolves"))
        workshop.library.cancel(first.document.job_id or 0)
        gate.opened.set()
        workshop.idle()
        assert status_of(workshop, first.document.id) is DocumentStatus.CANCELLED
        assert status_of(workshop, second.document.id) is DocumentStatus.READY
        assert workshop.matching("lynx") == []
        workshop.check()


def test_retry_while_the_old_run_still_hangs_yields_one_result(workshop: Workshop) -> None:
    """A job that is cancelled and retried at once is done by the new run alone, whatever the old one still does."""
    parse = workshop.parser.parse
    release, entered = threading.Event(), threading.Event()

    def deaf(path: Path, name: str, **keywords: Any) -> Any:
        """Takes no notice of being cancelled, the first time."""
        if not entered.is_set():
            entered.set()
            assert release.wait(DEADLINE)
            keywords["cancelled"] = lambda: False
        return parse(path, name, **keywords)

    workshop.parser.parse = deaf  # type: ignore[method-assign]
    intake = workshop.add("a.txt", text_about("hares"))
    assert entered.wait(DEADLINE)
    workshop.library.cancel(intake.document.job_id or 0)
    workshop.library.retry(intake.document.job_id or 0)
    workshop.idle()
    assert status_of(workshop, intake.document.id) is DocumentStatus.READY
    release.set()
    second = workshop.ready("b.txt", text_about("rabbits"))
    assert second.status is DocumentStatus.READY
    workshop.check()


def test_queued_job_is_removed_with_its_document(tmp_path: Path, embedder: Embedder) -> None:
    """Removing from the queue leaves nothing of a new document, and of a new version just the old one."""
    with Workshop(tmp_path / "data", embedder) as workshop:
        kept = workshop.ready("kept.txt", text_about("eagles"))
    with Workshop(tmp_path / "data", embedder, start=False) as workshop:
        new = workshop.add("new.txt", text_about("kites"))
        version = workshop.add("kept.txt", text_about("vultures"))
        workshop.library.remove(new.document.job_id or 0)
        workshop.library.remove(version.document.job_id or 0)
        with pytest.raises(NotFoundError):
            workshop.library.remove(new.document.job_id or 0)
        assert [d.id for d in workshop.library.documents()] == [kept.id]
        assert workshop.library.document(kept.id).status is DocumentStatus.READY
        assert workshop.library.jobs(unfinished_only=True) == []
        workshop.check()


def test_failed_job_is_removed_with_its_document(workshop: Workshop) -> None:
    """What failed can be cleared away; the list of a ready document's jobs keeps the one that made it."""
    failed = workshop.ready("noise.pdf", bytes(range(256)) * 40)
    good = workshop.ready("good.txt", text_about("falcons"))
    workshop.library.remove(failed.job_id or 0)
    workshop.library.remove(good.job_id or 0)
    assert [d.id for d in workshop.library.documents()] == [good.id]
    assert workshop.library.document(good.id).status is DocumentStatus.READY
    workshop.check()


def test_document_is_deleted_while_it_is_taken_in(workshop: Workshop) -> None:
    """Deleting in the middle of the work leaves nothing, and the pipeline goes on with others."""
    with gated_parser(workshop, only="doomed") as gate:
        intake = workshop.add("doomed.txt", text_about("aurochs"))
        gate.arrived()
        assert workshop.library.delete([intake.document.id]).documents == 1
        other = workshop.ready("other.txt", text_about("bison"))
    assert other.status is DocumentStatus.READY
    assert [d.id for d in workshop.library.documents()] == [other.id]
    workshop.check()


def test_newer_version_takes_over_from_one_in_work(workshop: Workshop) -> None:
    """A version that comes while the one before is parsed wins; of the older nothing stays."""
    with gated_parser(workshop) as gate:
        workshop.add("a.txt", text_about("ravens"))
        gate.arrived()
        newer = workshop.add("a.txt", text_about("crows"))
    workshop.idle()
    document = workshop.library.document(newer.document.id)
    assert (document.status, document.version) == (DocumentStatus.READY, 2)
    assert (workshop.matching("raven"), bool(workshop.matching("crow"))) == ([], True)
    workshop.check()


def test_files_are_added_during_a_run(workshop: Workshop) -> None:
    """What is added while others are in work goes through, too; the second reader passes a slow file."""
    with gated_parser(workshop, only="slow") as gate:
        workshop.add("slow.txt", text_about("sloths"))
        gate.arrived()
        quick = [workshop.add(f"quick {i}.txt", text_about(f"subject{i}")) for i in range(5)]
        for intake in quick:
            assert workshop.ingestion.board.wait(
                lambda i=intake: status_of(workshop, i.document.id) is DocumentStatus.READY,  # type: ignore[misc]
                DEADLINE,
            )
        assert workshop.library.counts().searchable == 5
    workshop.idle()
    assert workshop.library.counts().searchable == 6
    workshop.check()


def test_small_file_passes_a_huge_one(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of several files share the embedder in turn, so that a small file does not wait for a book."""
    monkeypatch.setattr(embedding_stage, "GROUP", 8)
    monkeypatch.setattr(embedding_stage, "SHARE", 4)
    with gated_parser(workshop, only="none"):
        book = workshop.add("book.txt", text_about("whales", 200))
        assert workshop.ingestion.board.wait(
            lambda: status_of(workshop, book.document.id) is DocumentStatus.EMBEDDING, DEADLINE
        )
        workshop.add("note.txt", text_about("krill", 1))
    workshop.idle()
    ended = {job.document: job.finished_at for job in workshop.library.jobs()}
    assert ended["note.txt"] < ended["book.txt"]  # type: ignore[operator]
    workshop.check()


def test_stopped_service_goes_on_where_it_was(tmp_path: Path, embedder: Embedder) -> None:
    """Closing in the middle of the work loses nothing: the next start finishes it, and it does not count as a crash."""
    with Workshop(tmp_path / "data", embedder) as workshop, gated_parser(workshop) as gate:
        for i in range(4):
            workshop.add(f"{i}.txt", text_about(f"subject{i}"))
        gate.arrived()
        workshop.ingestion.close()
        assert {job.status for job in workshop.library.jobs()} == {DocumentStatus.QUEUED}
    for _ in range(4):
        with Workshop(tmp_path / "data", embedder) as workshop, gated_parser(workshop) as gate:
            gate.arrived()
            workshop.ingestion.close()
    with Workshop(tmp_path / "data", embedder) as workshop:
        workshop.idle()
        assert {job.status for job in workshop.library.jobs()} == {DocumentStatus.READY}
        assert workshop.library.counts().searchable == 4
        workshop.check()


def test_file_that_takes_the_process_down_is_given_up(tmp_path: Path, embedder: Embedder) -> None:
    """A job that was in work during three crashes fails with a message; others go on; it can be retried."""
    for crash in range(3):
        # A process that is killed puts nothing back: here it takes the job and is gone.
        with Workshop(tmp_path / "data", embedder, start=False) as workshop:
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
    with Workshop(tmp_path / "data", embedder) as workshop:
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
    with Workshop(tmp_path / "data", embedder, start=False) as workshop:
        workshop.add("a.txt", text_about("yaks", 9))
        claim = workshop.ingestion.job_store.claim(embedder.fingerprint)
        assert claim is not None
        parsed = workshop.parser.parse(workshop.files.path(claim.stored), "a.txt", chunk_tokens=64, overlap=0)
        vectors = embedder.embed_chunks([draft.text for draft in parsed.chunks])
        with workshop.ingestion.writer.change() as change:
            writing.insert_sections(change.connection, claim.revision_id, parsed.sections)
            writing.insert_chunks(change.connection, claim.revision_id, list(parsed.chunks), vectors)
        assert workshop.chunks.active_ids()[0].tolist() == []
        with workshop.files.receive() as incoming:
            incoming.write(b"never told to the database")
            stray = incoming.finish().stored
    with Workshop(tmp_path / "data", embedder, start=False) as workshop:
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
    with Workshop(tmp_path / "data", embedder) as workshop:
        document = workshop.ready("a.txt", text_about("ferrets", 9))
        before = [chunk.text for chunk in workshop.library.chunks(document.id)]
    other = OtherEmbedder(embedder, fingerprint="another model")
    with Workshop(tmp_path / "data", other) as workshop:  # type: ignore[arg-type]
        workshop.idle()
        job = workshop.library.jobs()[0]
        assert (job.kind, job.status) == (JobKind.REEMBED, DocumentStatus.READY)
        assert [chunk.text for chunk in workshop.library.chunks(document.id)] == before
        assert len(workshop.chunks.active_ids("another model")[0]) == document.chunks
        assert len(workshop.keeper.index) == document.chunks
        workshop.check()
    with Workshop(tmp_path / "data", other) as workshop:  # type: ignore[arg-type]
        assert len(workshop.library.jobs()) == 2


def test_defect_costs_one_job(workshop: Workshop) -> None:
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
    insert = writing.insert_chunks

    def refusing(connection: Any, revision_id: int, drafts: Any, *args: Any, **keywords: Any) -> Any:
        if "trolls" in drafts[0].text:
            raise StorageError("The disk is full.", "Free some space.")
        return insert(connection, revision_id, drafts, *args, **keywords)

    monkeypatch.setattr(writing, "insert_chunks", refusing)
    with Workshop(tmp_path / "data", embedder, start=False) as workshop:
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
    with Workshop(tmp_path / "data", embedder, start=False) as workshop:
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


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system has no priorities")
def test_ingestion_gives_way(workshop: Workshop) -> None:
    """The threads of the pipeline have a name and a low priority; others keep theirs."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ingest-")]
    assert len(threads) >= 4
    assert workshop.ready("a.txt", "Something.").status is DocumentStatus.READY
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for thread in threads:
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) > own


def test_idle_listeners_hear_once_that_all_is_done(workshop: Workshop) -> None:
    """When the queue has been worked through, those who wait for that are told, with everything ready."""
    heard = threading.Semaphore(0)
    ready: list[int] = []

    def listener() -> None:
        ready.append(workshop.library.counts().searchable)
        heard.release()

    workshop.ingestion.add_idle_listener(listener)
    for i in range(3):
        workshop.add(f"{i}.txt", text_about(f"subject{i}"))
    workshop.idle()
    assert heard.acquire(timeout=DEADLINE)
    assert ready[-1] == workshop.library.counts().searchable


def test_many_small_files_in_one_go(workshop: Workshop) -> None:
    """Some hundred files added as fast as possible all become ready, each once."""
    for i in range(300):
        workshop.add(f"note {i:03}.txt", f"Note number {i} is about the colour{i} of thing{i}.")
    workshop.idle()
    counts = workshop.library.counts()
    assert (counts.documents, counts.searchable, counts.chunks) == (300, 300, 300)
    assert len(workshop.matching("colour7")) == 1
    workshop.check()
