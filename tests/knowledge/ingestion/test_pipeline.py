from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from services.core.actor import SERVICE
from services.core.errors import ConflictError, NotFoundError
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion import embed_stage
from services.knowledge.types import DocumentStatus, JobProgress
from tests.knowledge.barriers import Barrier, OtherEmbedder, blocked_parser, status_of
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, pdf, text_about


def test_progress_goes_through_every_state(harness: LibraryHarness) -> None:
    """A PDF is queued, parsed page by page, embedded chunk by chunk; every session reads the same from the board."""
    shown: list[tuple[DocumentStatus, JobProgress]] = []
    show = harness.ingestion.board.update

    def listening(job_id: int, status: DocumentStatus, progress: JobProgress | None = None) -> None:
        shown.append((status, progress or JobProgress()))
        show(job_id, status, progress)

    harness.ingestion.board.update = listening  # type: ignore[method-assign]
    document = harness.ready("hills.pdf", pdf(3))
    assert document.status is DocumentStatus.READY
    assert (document.pages, document.progress) == (3, JobProgress())
    order = list(dict.fromkeys(status for status, _progress in shown))
    assert order == [DocumentStatus.QUEUED, DocumentStatus.PARSING, DocumentStatus.EMBEDDING]
    assert (DocumentStatus.PARSING, JobProgress(3, 3, "page")) in shown
    assert (DocumentStatus.EMBEDDING, JobProgress(0, document.chunks, "chunk")) in shown
    assert (DocumentStatus.EMBEDDING, JobProgress(document.chunks, document.chunks, "chunk")) in shown
    assert all(0 <= progress.done <= progress.total for _status, progress in shown)


def test_state_in_work_is_seen_and_filtered(harness: LibraryHarness) -> None:
    """While a file is parsed its document says so, and filters by state find it."""
    with blocked_parser(harness) as barrier:
        intake = harness.add("a.txt", text_about("elks"))
        barrier.arrived()
        assert status_of(harness, intake.document.id) is DocumentStatus.PARSING
        assert harness.library.count_documents(SERVICE, statuses=[DocumentStatus.PARSING]) == 1
        assert harness.library.count_documents(SERVICE, statuses=[DocumentStatus.QUEUED, DocumentStatus.READY]) == 0
        assert [job.status for job in harness.library.jobs.recent(SERVICE, unfinished_only=True)] == [
            DocumentStatus.PARSING
        ]
        assert harness.library.counts(SERVICE).jobs_unfinished == 1
    harness.idle()
    assert harness.library.jobs.recent(SERVICE, unfinished_only=True) == []


def test_job_is_cancelled_while_its_file_is_parsed_and_retried(harness: LibraryHarness) -> None:
    """A cancelled job ends at once and leaves no chunks; its file stays, so that a retry makes it ready."""
    with blocked_parser(harness) as barrier:
        intake = harness.add("a.txt", text_about("moose"))
        barrier.arrived()
        harness.library.jobs.cancel(SERVICE, intake.document.job_id or 0)
        assert status_of(harness, intake.document.id) is DocumentStatus.CANCELLED
        harness.idle()
        assert harness.count("chunks") == 0
        with pytest.raises(ConflictError):
            harness.library.jobs.cancel(SERVICE, intake.document.job_id or 0)
    assert harness.library.jobs.retry(SERVICE, intake.document.job_id or 0).document == "a.txt"
    harness.idle()
    assert status_of(harness, intake.document.id) is DocumentStatus.READY
    with pytest.raises(ConflictError):
        harness.library.jobs.retry(SERVICE, intake.document.job_id or 0)
    harness.check()


def test_job_is_cancelled_while_its_chunks_are_embedded(tmp_path: Path, embedder: Embedder) -> None:
    """Cancelling reaches the embedding stage; another file that waits behind goes through."""
    barrier = Barrier()
    held_back = OtherEmbedder(embedder, barrier=barrier)
    with LibraryHarness(tmp_path / "data", held_back) as harness:  # type: ignore[arg-type]
        first = harness.add("a.txt", text_about("lynxes"))
        barrier.arrived()
        second = harness.add("b.txt", text_about("wolves"))
        harness.library.jobs.cancel(SERVICE, first.document.job_id or 0)
        barrier.opened.set()
        harness.idle()
        assert status_of(harness, first.document.id) is DocumentStatus.CANCELLED
        assert status_of(harness, second.document.id) is DocumentStatus.READY
        assert harness.matching("lynx") == []
        harness.check()


def test_retry_while_the_old_run_still_hangs_yields_one_result(harness: LibraryHarness) -> None:
    """A job that is cancelled and retried at once is done by the new run alone, whatever the old one still does."""
    parse = harness.parser.parse
    release, entered = threading.Event(), threading.Event()

    def deaf(path: Path, name: str, **keywords: Any) -> Any:
        """Takes no notice of being cancelled, the first time."""
        if not entered.is_set():
            entered.set()
            assert release.wait(DEADLINE)
            keywords["cancelled"] = lambda: False
        return parse(path, name, **keywords)

    harness.parser.parse = deaf  # type: ignore[method-assign]
    intake = harness.add("a.txt", text_about("hares"))
    assert entered.wait(DEADLINE)
    harness.library.jobs.cancel(SERVICE, intake.document.job_id or 0)
    harness.library.jobs.retry(SERVICE, intake.document.job_id or 0)
    harness.idle()
    assert status_of(harness, intake.document.id) is DocumentStatus.READY
    release.set()
    second = harness.ready("b.txt", text_about("rabbits"))
    assert second.status is DocumentStatus.READY
    harness.check()


def test_queued_job_is_removed_with_its_document(tmp_path: Path, embedder: Embedder) -> None:
    """Removing from the queue leaves nothing of a new document, and of a new version just the old one."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        kept = harness.ready("kept.txt", text_about("eagles"))
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        new = harness.add("new.txt", text_about("kites"))
        version = harness.add("kept.txt", text_about("vultures"))
        harness.library.jobs.remove(SERVICE, new.document.job_id or 0)
        harness.library.jobs.remove(SERVICE, version.document.job_id or 0)
        with pytest.raises(NotFoundError):
            harness.library.jobs.remove(SERVICE, new.document.job_id or 0)
        assert [d.id for d in harness.library.documents(SERVICE)] == [kept.id]
        assert harness.library.document(SERVICE, kept.id).status is DocumentStatus.READY
        assert harness.library.jobs.recent(SERVICE, unfinished_only=True) == []
        harness.check()


def test_failed_job_is_removed_with_its_document(harness: LibraryHarness) -> None:
    """What failed can be cleared away; the list of a ready document's jobs keeps the one that made it."""
    failed = harness.ready("noise.pdf", bytes(range(256)) * 40)
    good = harness.ready("good.txt", text_about("falcons"))
    harness.library.jobs.remove(SERVICE, failed.job_id or 0)
    harness.library.jobs.remove(SERVICE, good.job_id or 0)
    assert [d.id for d in harness.library.documents(SERVICE)] == [good.id]
    assert harness.library.document(SERVICE, good.id).status is DocumentStatus.READY
    harness.check()


def test_document_is_deleted_while_it_is_taken_in(harness: LibraryHarness) -> None:
    """Deleting in the middle of the work leaves nothing, and the pipeline goes on with others."""
    with blocked_parser(harness, only="doomed") as barrier:
        intake = harness.add("doomed.txt", text_about("aurochs"))
        barrier.arrived()
        assert harness.library.delete(SERVICE, [intake.document.id]).documents == 1
        other = harness.ready("other.txt", text_about("bison"))
    assert other.status is DocumentStatus.READY
    assert [d.id for d in harness.library.documents(SERVICE)] == [other.id]
    harness.check()


def test_newer_version_takes_over_from_one_in_work(harness: LibraryHarness) -> None:
    """A version that comes while the one before is parsed wins; of the older nothing stays."""
    with blocked_parser(harness) as barrier:
        harness.add("a.txt", text_about("ravens"))
        barrier.arrived()
        newer = harness.add("a.txt", text_about("crows"))
    harness.idle()
    document = harness.library.document(SERVICE, newer.document.id)
    assert (document.status, document.version) == (DocumentStatus.READY, 2)
    assert (harness.matching("raven"), bool(harness.matching("crow"))) == ([], True)
    harness.check()


def test_files_are_added_during_a_run(harness: LibraryHarness) -> None:
    """What is added while others are in work goes through, too; the second reader passes a slow file."""
    with blocked_parser(harness, only="slow") as barrier:
        harness.add("slow.txt", text_about("sloths"))
        barrier.arrived()
        quick = [harness.add(f"quick {i}.txt", text_about(f"subject{i}")) for i in range(5)]
        for intake in quick:
            assert harness.ingestion.board.wait(
                lambda i=intake: status_of(harness, i.document.id) is DocumentStatus.READY,  # type: ignore[misc]
                DEADLINE,
            )
        assert harness.library.counts(SERVICE).searchable == 5
    harness.idle()
    assert harness.library.counts(SERVICE).searchable == 6
    harness.check()


def test_small_file_passes_a_huge_one(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of several files share the embedder in turn, so that a small file does not wait for a book."""
    monkeypatch.setattr(embed_stage, "BATCH_CHUNKS", 8)
    monkeypatch.setattr(embed_stage, "CHUNKS_PER_FILE", 4)
    with blocked_parser(harness, only="none"):
        book = harness.add("book.txt", text_about("whales", 200))
        assert harness.ingestion.board.wait(
            lambda: status_of(harness, book.document.id) is DocumentStatus.EMBEDDING, DEADLINE
        )
        harness.add("note.txt", text_about("krill", 1))
    harness.idle()
    ended = {job.document: job.finished_at for job in harness.library.jobs.recent(SERVICE)}
    assert ended["note.txt"] < ended["book.txt"]  # type: ignore[operator]
    harness.check()


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system has no priorities")
def test_ingestion_gives_way(harness: LibraryHarness) -> None:
    """The threads of the pipeline have a name and a low priority; others keep theirs."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("ingest-")]
    assert len(threads) >= 4
    assert harness.ready("a.txt", "Something.").status is DocumentStatus.READY
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    for thread in threads:
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) > own


def test_idle_listeners_hear_once_that_all_is_done(harness: LibraryHarness) -> None:
    """When the queue has been worked through, those who wait for that are told, with everything ready."""
    heard = threading.Semaphore(0)
    ready: list[int] = []

    def listener() -> None:
        ready.append(harness.library.counts(SERVICE).searchable)
        heard.release()

    harness.ingestion.add_idle_listener(listener)
    for i in range(3):
        harness.add(f"{i}.txt", text_about(f"subject{i}"))
    harness.idle()
    assert heard.acquire(timeout=DEADLINE)
    assert ready[-1] == harness.library.counts(SERVICE).searchable


def test_many_small_files_in_one_go(harness: LibraryHarness) -> None:
    """Some hundred files added as fast as possible all become ready, each once."""
    for i in range(300):
        harness.add(f"note {i:03}.txt", f"Note number {i} is about the colour{i} of thing{i}.")
    harness.idle()
    counts = harness.library.counts(SERVICE)
    assert (counts.documents, counts.searchable, counts.chunks) == (300, 300, 300)
    assert len(harness.matching("colour7")) == 1
    harness.check()
