from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import ConflictError, NotFoundError
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion import embed_stage as embedding_stage
from services.knowledge.types import DocumentStatus, JobProgress
from tests.knowledge.barriers import Gate, OtherEmbedder, gated_parser, status_of
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, pdf, text_about


def test_progress_goes_through_every_state(workshop: LibraryHarness) -> None:
    """A PDF is queued, parsed page by page, embedded chunk by chunk; every session reads the same from the board."""
    shown: list[tuple[DocumentStatus, JobProgress]] = []
    show = workshop.ingestion.board.show

    def listening(job_id: int, status: DocumentStatus, progress: JobProgress | None = None) -> None:
        shown.append((status, progress or JobProgress()))
        show(job_id, status, progress)

    workshop.ingestion.board.show = listening  # type: ignore[method-assign]
    document = workshop.ready("hills.pdf", pdf(3))
    assert document.status is DocumentStatus.READY
    assert (document.pages, document.progress) == (3, JobProgress())
    order = list(dict.fromkeys(status for status, _progress in shown))
    assert order == [DocumentStatus.QUEUED, DocumentStatus.PARSING, DocumentStatus.EMBEDDING]
    assert (DocumentStatus.PARSING, JobProgress(3, 3, "page")) in shown
    assert (DocumentStatus.EMBEDDING, JobProgress(0, document.chunks, "chunk")) in shown
    assert (DocumentStatus.EMBEDDING, JobProgress(document.chunks, document.chunks, "chunk")) in shown
    assert all(0 <= progress.done <= progress.total for _status, progress in shown)


def test_state_in_work_is_seen_and_filtered(workshop: LibraryHarness) -> None:
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


def test_job_is_cancelled_while_its_file_is_parsed_and_retried(workshop: LibraryHarness) -> None:
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
    with LibraryHarness(tmp_path / "data", held_back) as workshop:  # type: ignore[arg-type]
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


def test_retry_while_the_old_run_still_hangs_yields_one_result(workshop: LibraryHarness) -> None:
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
    with LibraryHarness(tmp_path / "data", embedder) as workshop:
        kept = workshop.ready("kept.txt", text_about("eagles"))
    with LibraryHarness(tmp_path / "data", embedder, start=False) as workshop:
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


def test_failed_job_is_removed_with_its_document(workshop: LibraryHarness) -> None:
    """What failed can be cleared away; the list of a ready document's jobs keeps the one that made it."""
    failed = workshop.ready("noise.pdf", bytes(range(256)) * 40)
    good = workshop.ready("good.txt", text_about("falcons"))
    workshop.library.remove(failed.job_id or 0)
    workshop.library.remove(good.job_id or 0)
    assert [d.id for d in workshop.library.documents()] == [good.id]
    assert workshop.library.document(good.id).status is DocumentStatus.READY
    workshop.check()


def test_document_is_deleted_while_it_is_taken_in(workshop: LibraryHarness) -> None:
    """Deleting in the middle of the work leaves nothing, and the pipeline goes on with others."""
    with gated_parser(workshop, only="doomed") as gate:
        intake = workshop.add("doomed.txt", text_about("aurochs"))
        gate.arrived()
        assert workshop.library.delete([intake.document.id]).documents == 1
        other = workshop.ready("other.txt", text_about("bison"))
    assert other.status is DocumentStatus.READY
    assert [d.id for d in workshop.library.documents()] == [other.id]
    workshop.check()


def test_newer_version_takes_over_from_one_in_work(workshop: LibraryHarness) -> None:
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


def test_files_are_added_during_a_run(workshop: LibraryHarness) -> None:
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


def test_small_file_passes_a_huge_one(workshop: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system has no priorities")
def test_ingestion_gives_way(workshop: LibraryHarness) -> None:
    """The threads of the pipeline have a name and a low priority; others keep theirs."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ingest-")]
    assert len(threads) >= 4
    assert workshop.ready("a.txt", "Something.").status is DocumentStatus.READY
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for thread in threads:
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) > own


def test_idle_listeners_hear_once_that_all_is_done(workshop: LibraryHarness) -> None:
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


def test_many_small_files_in_one_go(workshop: LibraryHarness) -> None:
    """Some hundred files added as fast as possible all become ready, each once."""
    for i in range(300):
        workshop.add(f"note {i:03}.txt", f"Note number {i} is about the colour{i} of thing{i}.")
    workshop.idle()
    counts = workshop.library.counts()
    assert (counts.documents, counts.searchable, counts.chunks) == (300, 300, 300)
    assert len(workshop.matching("colour7")) == 1
    workshop.check()
