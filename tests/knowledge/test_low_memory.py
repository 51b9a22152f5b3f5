from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.core.actor import SERVICE
from services.core.admission import Admission, Gate, MemoryHeadroom
from services.core.errors import UnavailableError
from services.core.machine import MEGABYTE
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion.embed_stage import BATCH_CHUNKS_LOW_MEMORY
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, text_about
from tests.servers import eventually


def with_room(megabytes: list[int]) -> Admission:
    """An admission with so much room, which may change."""
    admission = Admission()
    admission.set_headroom_source(lambda: MemoryHeadroom(0, megabytes[0] * MEGABYTE))
    return admission


def statuses(harness: LibraryHarness) -> set[DocumentStatus]:
    return {document.status for document in harness.library.documents(SERVICE)}


def test_documents_wait_for_room_and_none_is_lost(tmp_path: Path, embedder: Embedder) -> None:
    """Work that does not fit would be begun all the same, or fail, and what somebody handed in would be lost."""
    room = [100]
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as harness:
        for subject in ("ibexes", "marmots", "chamois"):
            harness.add(f"{subject}.txt", text_about(subject))
        room[0] = 1
        harness.ingestion.start()
        assert harness.ingestion.board.wait(lambda: bool(harness.ingestion.pause_reason), DEADLINE, poll_seconds=0.01)
        assert "The next document needs about 8 MB of memory" in harness.ingestion.pause_reason
        assert statuses(harness) == {DocumentStatus.QUEUED}
        with pytest.raises(UnavailableError, match="A new file needs"):
            harness.add("late.txt", "Too late.")
        room[0] = 100
        harness.ingestion.wake()
        harness.idle()
        assert statuses(harness) == {DocumentStatus.READY}
        assert harness.ingestion.pause_reason == ""
        eventually(lambda: harness.admission.reserved == 0, what="the end of what was promised")
        harness.check()


def test_chunks_wait_for_room(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read already would be embedded although memory has become short meanwhile."""
    room = [100]
    parsed = threading.Event()
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as harness:
        parse = harness.parser.parse

        def then_short(*arguments: Any, **keywords: Any) -> Any:
            found = parse(*arguments, **keywords)
            room[0] = 2
            parsed.set()
            return found

        monkeypatch.setattr(harness.parser, "parse", then_short)
        harness.add("ibexes.txt", text_about("ibexes"))
        harness.ingestion.start()
        assert parsed.wait(DEADLINE)
        eventually(lambda: "Embedding needs" in harness.ingestion.pause_reason, seconds=DEADLINE, what="the pause")
        assert statuses(harness) == {DocumentStatus.EMBEDDING}
        room[0] = 100
        harness.idle()
        assert statuses(harness) == {DocumentStatus.READY}


def test_a_pipeline_that_waits_for_room_can_be_closed(tmp_path: Path, embedder: Embedder) -> None:
    """A process short of memory could not be ended, least of all for the restart that would help."""
    room = [100]
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as harness:
        harness.add("ibexes.txt", text_about("ibexes"))
        room[0] = 8  # enough to read a file, not to embed it
        harness.ingestion.start()
        eventually(lambda: "Embedding needs" in harness.ingestion.pause_reason, seconds=DEADLINE, what="the pause")
        harness.ingestion.close()
        assert statuses(harness) == {DocumentStatus.QUEUED}


def test_where_memory_is_tight_work_is_done_in_small_portions(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readers and large groups would take the room that questions need."""
    admission = with_room([60])
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=admission) as harness:
        parse, embed = harness.parser.parse, embedder.embed_chunks
        lock = threading.Lock()
        reading = most = 0
        sizes: list[int] = []

        def counted(*arguments: Any, **keywords: Any) -> Any:
            nonlocal reading, most
            with lock:
                reading += 1
                most = max(most, reading)
            try:
                return parse(*arguments, **keywords)
            finally:
                with lock:
                    reading -= 1

        def sized(texts: Any, **keywords: Any) -> Any:
            sizes.append(len(texts))
            return embed(texts, **keywords)

        monkeypatch.setattr(harness.parser, "parse", counted)
        monkeypatch.setattr(embedder, "embed_chunks", sized)
        for number in range(4):
            harness.add(f"{number}.txt", text_about(f"subject{number}", 100))
        harness.ingestion.start()
        harness.idle()
        assert most == 1
        assert max(sizes) <= BATCH_CHUNKS_LOW_MEMORY
        assert statuses(harness) == {DocumentStatus.READY}


def test_it_rests_after_each_document_while_it_is_slowed_down(tmp_path: Path, embedder: Embedder) -> None:
    """Slowed down it would go on as before; or, when that ends, rest to the end of its pause."""
    admission = Admission()
    admission.slow_ingestion(3600.0)
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=admission) as harness:
        for subject in ("ibexes", "marmots"):
            harness.add(f"{subject}.txt", text_about(subject))
        harness.ingestion.start()
        ready: Callable[[], bool] = lambda: DocumentStatus.READY in statuses(harness)  # noqa: E731 - read twice
        eventually(ready, seconds=DEADLINE, what="the first document")
        assert statuses(harness) == {DocumentStatus.READY, DocumentStatus.QUEUED}
        admission.slow_ingestion(0.0)
        harness.idle()
        assert statuses(harness) == {DocumentStatus.READY}


def test_a_closed_door_takes_no_files(harness: LibraryHarness) -> None:
    """The budget refuses uploads, and they would be taken in all the same."""
    harness.admission.close(Gate.UPLOADS, "budget", "Short of memory.", "Later.")
    with pytest.raises(UnavailableError, match="Short of memory"):
        harness.add("a.txt", "Something.")
    assert harness.library.count_documents(SERVICE) == 0
    harness.admission.open(Gate.UPLOADS, "budget")
    assert harness.ready("a.txt", "Something.").status is DocumentStatus.READY
