from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.core.admission import Admission, Gate, MemoryHeadroom
from services.core.errors import UnavailableError
from services.core.settings import MEGABYTE
from services.knowledge.embedding import Embedder
from services.knowledge.ingestion.embed_stage import GROUP_WHEN_TIGHT
from services.knowledge.types import DocumentStatus
from tests.knowledge.library_harness import DEADLINE, LibraryHarness, text_about
from tests.servers import eventually


def with_room(megabytes: list[int]) -> Admission:
    """An admission with so much room, which may change."""
    admission = Admission()
    admission.watch(lambda: MemoryHeadroom(0, megabytes[0] * MEGABYTE))
    return admission


def statuses(workshop: LibraryHarness) -> set[DocumentStatus]:
    return {document.status for document in workshop.library.documents()}


def test_documents_wait_for_room_and_none_is_lost(tmp_path: Path, embedder: Embedder) -> None:
    """Work that does not fit would be begun all the same, or fail, and what somebody handed in would be lost."""
    room = [100]
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as workshop:
        for subject in ("ibexes", "marmots", "chamois"):
            workshop.add(f"{subject}.txt", text_about(subject))
        room[0] = 1
        workshop.ingestion.start()
        assert workshop.ingestion.board.wait(lambda: bool(workshop.ingestion.paused), DEADLINE, poll_seconds=0.01)
        assert "The next document needs about 8 MB of memory" in workshop.ingestion.paused
        assert statuses(workshop) == {DocumentStatus.QUEUED}
        with pytest.raises(UnavailableError, match="A new file needs"):
            workshop.add("late.txt", "Too late.")
        room[0] = 100
        workshop.ingestion.wake()
        workshop.idle()
        assert statuses(workshop) == {DocumentStatus.READY}
        assert workshop.ingestion.paused == ""
        eventually(lambda: workshop.admission.reserved == 0, what="the end of what was promised")
        workshop.check()


def test_chunks_wait_for_room(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read already would be embedded although memory has become short meanwhile."""
    room = [100]
    parsed = threading.Event()
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as workshop:
        parse = workshop.parser.parse

        def then_short(*arguments: Any, **keywords: Any) -> Any:
            found = parse(*arguments, **keywords)
            room[0] = 2
            parsed.set()
            return found

        monkeypatch.setattr(workshop.parser, "parse", then_short)
        workshop.add("ibexes.txt", text_about("ibexes"))
        workshop.ingestion.start()
        assert parsed.wait(DEADLINE)
        eventually(lambda: "Embedding needs" in workshop.ingestion.paused, seconds=DEADLINE, what="the pause")
        assert statuses(workshop) == {DocumentStatus.EMBEDDING}
        room[0] = 100
        workshop.idle()
        assert statuses(workshop) == {DocumentStatus.READY}


def test_a_pipeline_that_waits_for_room_can_be_closed(tmp_path: Path, embedder: Embedder) -> None:
    """A process short of memory could not be ended, least of all for the restart that would help."""
    room = [100]
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=with_room(room)) as workshop:
        workshop.add("ibexes.txt", text_about("ibexes"))
        room[0] = 8  # enough to read a file, not to embed it
        workshop.ingestion.start()
        eventually(lambda: "Embedding needs" in workshop.ingestion.paused, seconds=DEADLINE, what="the pause")
        workshop.ingestion.close()
        assert statuses(workshop) == {DocumentStatus.QUEUED}


def test_where_memory_is_tight_work_is_done_in_small_portions(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readers and large groups would take the room that questions need."""
    admission = with_room([60])
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=admission) as workshop:
        parse, embed = workshop.parser.parse, embedder.embed_chunks
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

        monkeypatch.setattr(workshop.parser, "parse", counted)
        monkeypatch.setattr(embedder, "embed_chunks", sized)
        for number in range(4):
            workshop.add(f"{number}.txt", text_about(f"subject{number}", 100))
        workshop.ingestion.start()
        workshop.idle()
        assert most == 1
        assert max(sizes) <= GROUP_WHEN_TIGHT
        assert statuses(workshop) == {DocumentStatus.READY}


def test_it_rests_after_each_document_while_it_is_slowed_down(tmp_path: Path, embedder: Embedder) -> None:
    """Slowed down it would go on as before; or, when that ends, rest to the end of its pause."""
    admission = Admission()
    admission.slow_down(3600.0)
    with LibraryHarness(tmp_path / "data", embedder, start=False, admission=admission) as workshop:
        for subject in ("ibexes", "marmots"):
            workshop.add(f"{subject}.txt", text_about(subject))
        workshop.ingestion.start()
        ready: Callable[[], bool] = lambda: DocumentStatus.READY in statuses(workshop)  # noqa: E731 - read twice
        eventually(ready, seconds=DEADLINE, what="the first document")
        assert statuses(workshop) == {DocumentStatus.READY, DocumentStatus.QUEUED}
        admission.slow_down(0.0)
        workshop.idle()
        assert statuses(workshop) == {DocumentStatus.READY}


def test_a_closed_door_takes_no_files(workshop: LibraryHarness) -> None:
    """The budget refuses uploads, and they would be taken in all the same."""
    workshop.admission.close(Gate.UPLOADS, "budget", "Short of memory.", "Later.")
    with pytest.raises(UnavailableError, match="Short of memory"):
        workshop.add("a.txt", "Something.")
    assert workshop.library.count_documents() == 0
    workshop.admission.open(Gate.UPLOADS, "budget")
    assert workshop.ready("a.txt", "Something.").status is DocumentStatus.READY
