from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from services.core.actor import SERVICE
from services.core.requests.registry import acting_for
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion import lanes, store_stage
from services.knowledge.store import left_over, revisions
from services.knowledge.types import DocumentStatus, JobKind
from tests.knowledge.barriers import Barrier, OtherEmbedder, status_of
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, text_about
from tests.knowledge.parsing.hostile import busy_pdf, large_text
from tests.knowledge.parsing.pools import SLOW

READY_SECONDS = 5.0
BOOK = large_text(30, 0, 10)


def add_as(harness: LibraryHarness, user: str, name: str, content: str | bytes, batch: str = "") -> int:
    """Hand in a file as a user; return its document."""
    data = content.encode() if isinstance(content, str) else content
    with acting_for(user):
        return harness.library.add(SERVICE, io.BytesIO(data), name, batch=batch).document.id


def seconds_until_ready(harness: LibraryHarness, document_id: int) -> float:
    started = time.monotonic()
    assert harness.ingestion.board.wait(
        lambda: status_of(harness, document_id) is DocumentStatus.READY, DEADLINE, poll_seconds=0.05
    )
    return time.monotonic() - started


def wait_for(harness: LibraryHarness, document_id: int, status: DocumentStatus) -> None:
    assert harness.ingestion.board.wait(lambda: status_of(harness, document_id) is status, DEADLINE)


def cancel(harness: LibraryHarness, *document_ids: int) -> None:
    for document_id in document_ids:
        harness.library.jobs.cancel(SERVICE, harness.library.document(SERVICE, document_id).job_id or 0)


def test_small_files_do_not_wait_for_a_huge_one(harness: LibraryHarness) -> None:
    """A page would wait for the end of a batch, or of a book; whether a neighbour hands it in or the same person."""
    book = add_as(harness, "ann", "book.txt", large_text(3000))
    wait_for(harness, book, DocumentStatus.EMBEDDING)
    took = []
    for number, (user, batch) in enumerate([("bob", ""), ("ann", ""), ("ann", "2"), ("bob", "")]):
        note = add_as(harness, user, f"note {number}.txt", text_about(f"subject{number}", 1), batch)
        took.append(seconds_until_ready(harness, note))
    assert max(took) < READY_SECONDS, took
    assert status_of(harness, book) is DocumentStatus.EMBEDDING
    done = harness.library.document(SERVICE, book).progress.done
    assert harness.ingestion.board.wait(lambda: harness.library.document(SERVICE, book).progress.done > done, DEADLINE)
    cancel(harness, book)
    harness.idle()
    harness.check()


def test_a_neighbour_does_not_wait_for_hundreds_of_files(tmp_path: Path, embedder: Embedder) -> None:
    """One file would come after all that somebody else has handed in before; or after one's own heap of files."""
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        for number in range(150):
            add_as(harness, "ann", f"{number}.txt", text_about(f"thing{number}", 12), "heap")
        neighbour = add_as(harness, "bob", "neighbour.txt", text_about("neighbours", 2))
        own = add_as(harness, "ann", "own.txt", text_about("owners", 2), "later")
        harness.ingestion.start()
        assert seconds_until_ready(harness, neighbour) < READY_SECONDS
        assert seconds_until_ready(harness, own) < READY_SECONDS
        assert harness.library.counts(SERVICE).jobs_unfinished > 50
        added_later = add_as(harness, "eve", "later.txt", text_about("latecomers", 2))
        assert seconds_until_ready(harness, added_later) < READY_SECONDS
        assert harness.library.counts(SERVICE).jobs_unfinished > 20


def test_files_that_hang_do_not_keep_others_waiting(harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsers that hang would have all places until their time limits; they are put off, and not lost."""
    monkeypatch.setattr(lanes, "QUICK_SECONDS", 0.5)
    hanging = [add_as(harness, "eve", f"busy {number}.pdf", busy_pdf(number)) for number in range(6)]
    large = [add_as(harness, "eve", f"large {number}.txt", SLOW + b"%d" % number) for number in range(3)]
    took = []
    for number in range(3):
        note = add_as(harness, "bob", f"note {number}.txt", text_about(f"subject{number}", 1))
        took.append(seconds_until_ready(harness, note))
    assert max(took) < READY_SECONDS, took
    own = add_as(harness, "eve", "good.txt", text_about("goodness", 1), "later")
    assert seconds_until_ready(harness, own) < READY_SECONDS
    unfinished = {job.document_id for job in harness.library.jobs.recent(SERVICE, unfinished_only=True)}
    assert unfinished >= {*hanging, *large}
    cancel(harness, *hanging, *large)
    harness.idle()
    harness.check()


class HeldBack(OtherEmbedder):
    """Another model, which embeds what is new and holds everything else back."""

    def embed_chunks(self, texts: list[str], **keywords: Any) -> Any:
        if all("novelty" in text for text in texts):
            return self._embedder.embed_chunks(texts, **keywords)
        return super().embed_chunks(texts, **keywords)


class Slow(OtherEmbedder):
    """The model on a machine that is busy with other work: a twentieth of a second a chunk more."""

    sizes: ClassVar[list[int]] = []

    def embed_chunks(self, texts: list[str], **keywords: Any) -> Any:
        time.sleep(0.05 * len(texts))
        self.sizes.append(len(texts))
        return super().embed_chunks(texts, **keywords)


def test_people_share_smaller_batches_where_embedding_is_slow(tmp_path: Path, embedder: Embedder) -> None:
    """A page would wait for the end of a batch of 64 chunks that others share: 3 s here, and then for its own."""
    slow = Slow(embedder)
    with LibraryHarness(tmp_path / "data", slow, start=False) as harness:  # type: ignore[arg-type]
        books = [add_as(harness, user, f"{user}.txt", large_text(80, number)) for number, user in enumerate("abc")]
        harness.ingestion.start()
        assert harness.ingestion.board.wait(lambda: len(slow.sizes) > 4, DEADLINE)
        assert max(slow.sizes[2:]) <= 30, slow.sizes
        note = add_as(harness, "bob", "note.txt", text_about("novelty", 1))
        assert seconds_until_ready(harness, note) < READY_SECONDS
        cancel(harness, *(book for book in books if status_of(harness, book) is not DocumentStatus.READY))
        harness.idle()
        harness.check()


def test_re_embedding_everything_keeps_no_new_file_waiting(tmp_path: Path, embedder: Embedder) -> None:
    """After a change of the model new files would wait until all old ones are embedded again."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        for number in range(20):
            add_as(harness, "ann", f"{number}.txt", text_about(f"thing{number}", 2))
        harness.idle()
    barrier = Barrier()
    other = HeldBack(embedder, fingerprint="another model", barrier=barrier)
    with LibraryHarness(tmp_path / "data", other) as harness:  # type: ignore[arg-type]
        barrier.arrived()
        note = add_as(harness, "ann", "note.txt", text_about("novelty", 1))
        assert seconds_until_ready(harness, note) < READY_SECONDS
        assert {job.kind for job in harness.library.jobs.recent(SERVICE, unfinished_only=True)} == {JobKind.REEMBED}
        barrier.opened.set()
        harness.idle()
        harness.check()


@pytest.fixture
def in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than 6 chunks get ready in portions."""
    monkeypatch.setattr(store_stage, "LARGE_CHUNKS", 6)
    monkeypatch.setattr(store_stage, "_PORTION_CHUNKS", 2)
    monkeypatch.setattr(store_stage, "_SECTION_BATCH", 8)
    monkeypatch.setattr(revisions, "AT_ONCE_CHUNKS", 6)
    monkeypatch.setattr(left_over, "AT_ONCE_CHUNKS", 6)
    monkeypatch.setattr(left_over, "PORTION_ROWS", 3)


@pytest.mark.usefixtures("in_portions")
def test_a_large_file_gets_ready_in_portions(harness: LibraryHarness) -> None:
    """Its terms and vectors would be there twice, or in part, or be found before it is ready."""
    document = harness.ready("book.md", BOOK)
    assert document.chunks > 6
    assert len(harness.matching("sentence")) == document.chunks
    elsewhere = harness.library.create_collection(SERVICE, "Elsewhere").id
    copy = harness.ready("copy.md", BOOK, elsewhere)  # copied from the first one
    assert copy.status is DocumentStatus.READY
    harness.check()
    changed = harness.ready("book.md", large_text(30, 1, 10))
    assert (changed.version, changed.status) == (2, DocumentStatus.READY)
    assert harness.ingestion.board.wait(lambda: harness.count("revisions") == 2, DEADLINE)
    harness.library.jobs.reembed(SERVICE, [copy.id])
    harness.idle()
    assert harness.library.document(SERVICE, copy.id).status is DocumentStatus.READY
    assert harness.ingestion.board.wait(lambda: harness.count("revisions") == 2, DEADLINE)
    harness.check()
    harness.library.delete(SERVICE, [changed.id])
    assert harness.ingestion.board.wait(lambda: harness.count("revisions") == 1, DEADLINE)
    assert len(harness.matching("sentence")) == copy.chunks
    harness.check()


@pytest.mark.usefixtures("in_portions")
def test_a_large_file_is_deleted_in_portions(tmp_path: Path, embedder: Embedder) -> None:
    """It would be seen or found until all of it is gone, or keep its name; or what is left would stay after a kill."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        old = harness.ready("book.md", BOOK)
        kept = harness.ready("kept.md", large_text(30, 2, 10))
    with LibraryHarness(tmp_path / "data", embedder, start=False) as harness:
        assert harness.library.delete(SERVICE, [old.id]).chunks == old.chunks
        assert [document.name for document in harness.library.documents(SERVICE)] == ["kept.md"]
        assert harness.library.counts(SERVICE).documents == harness.library.collections(SERVICE)[0].documents == 1
        assert len(harness.index_manager.index) == kept.chunks
        assert harness.count("chunks") == old.chunks + kept.chunks
        new = harness.add("book.md", BOOK).document
        harness.ingestion.writer.drop_left_over()
        assert kept.chunks < harness.count("chunks") < old.chunks + kept.chunks
    with LibraryHarness(tmp_path / "data", embedder) as harness:  # as after a kill
        harness.idle()
        assert {document.id for document in harness.library.documents(SERVICE)} == {kept.id, new.id}
        assert harness.ingestion.board.wait(lambda: harness.count("revisions") == 2, DEADLINE)
        assert harness.count("documents") == 2
        harness.check()
        elsewhere = harness.library.create_collection(SERVICE, "Elsewhere").id
        harness.library.move(SERVICE, [kept.id], elsewhere)
        harness.library.delete_collection(SERVICE, elsewhere)
        assert harness.count("documents") == 1
        harness.check()


@pytest.mark.usefixtures("in_portions")
def test_nothing_stays_of_a_large_file_that_is_cancelled_half_way(
    harness: LibraryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put into the indexes before the last transaction would stay there, hidden, or damage them."""
    portion = store_stage.StoreStage._store_portion
    seen: list[int] = []

    def cancelled_in_between(stage: store_stage.StoreStage, task: store_stage.IngestTask) -> bool:
        done = portion(stage, task)
        if task.indexed >= 4 and not seen:
            seen.append(len(harness.matching("sentence")))
            harness.library.jobs.cancel(SERVICE, task.claim.job_id)
        return done

    monkeypatch.setattr(store_stage.StoreStage, "_store_portion", cancelled_in_between)
    document = harness.add("book.md", BOOK).document
    harness.idle()
    assert seen == [4]
    assert harness.matching("sentence") == []
    assert harness.ingestion.board.wait(lambda: not len(harness.index_manager.index), DEADLINE)
    assert status_of(harness, document.id) is DocumentStatus.CANCELLED
    harness.check()
    harness.library.jobs.retry(SERVICE, document.job_id or 0)
    harness.idle()
    assert status_of(harness, document.id) is DocumentStatus.READY
    harness.check()


@pytest.mark.usefixtures("in_portions")
def test_a_large_file_is_done_again_after_a_crash_half_way(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start would find its terms in the index already, and put them there a second time."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        portion = store_stage.StoreStage._store_portion

        def stops_in_between(stage: store_stage.StoreStage, task: store_stage.IngestTask) -> bool:
            if task.indexed >= 4:
                harness.ingestion._state.stopping.set()
                return False
            return portion(stage, task)

        monkeypatch.setattr(store_stage.StoreStage, "_store_portion", stops_in_between)
        harness.ingestion.job_store.requeue_active = lambda: None  # type: ignore[method-assign]
        document = harness.add("book.md", BOOK).document
        assert harness.ingestion.board.wait(lambda: len(harness.matching("sentence")) == 4, DEADLINE)
        harness.ingestion.close()
        monkeypatch.setattr(store_stage.StoreStage, "_store_portion", portion)
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        harness.idle()
        assert status_of(harness, document.id) is DocumentStatus.READY
        assert len(harness.matching("sentence")) == harness.library.document(SERVICE, document.id).chunks
        harness.check()
