from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.app.container import Services
from services.app.startup import Application
from services.chat.types import BackendChoice, BackendKind, MessageRole
from services.core.actor import SERVICE
from services.core.events import Counter, EventKind
from services.core.settings import Settings
from services.knowledge.types import RetrievalSettings
from services.memory.types import Series
from services.operations.event_log import Event
from tests.servers import eventually

TEXT = b"The mill pond is deep, and trout swim in it. " * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("timeline")


@pytest.fixture(scope="module")
def services(folder: Path) -> Iterator[Services]:
    """The real services, after everything that leaves a mark on the time line."""
    with Application(Settings(data_dir=folder, snapshot_seconds=0.1)) as services:
        ids = [
            services.library.add(SERVICE, io.BytesIO(TEXT + str(n).encode()), f"{n}.txt").document.id for n in range(12)
        ]
        services.library.add(SERVICE, io.BytesIO(b"%PDF-1.7 this is none"), "broken.pdf")
        assert services.ingestion.wait_idle(120)
        eventually(lambda: kinds(services)[EventKind.TRIM], what="the trim")
        services.library.delete(SERVICE, ids[-2:])  # the first one names the upload
        services.library.apply_retrieval_settings(SERVICE, RetrievalSettings(k=3))
        services.models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, "http://127.0.0.1:9/v1", "tiny", "secret"))
        services.models.choose(SERVICE, BackendChoice())
        conversation = services.conversations.create(SERVICE)
        list(services.answers.ask(SERVICE, conversation.id, "Which fish swim in the pond?"))
        stopped = services.answers.complete(SERVICE, [(MessageRole.USER, "Which fish swim in the pond?")])
        next(stopped)
        stopped.close()
        services.conversations.delete(SERVICE, conversation.id)
        eventually(lambda: kinds(services)[EventKind.SNAPSHOT], what="an index snapshot")
        yield services


def kinds(services: Services) -> dict[EventKind, list[Event]]:
    found: dict[EventKind, list[Event]] = {kind: [] for kind in EventKind}
    for event in services.events.between(0, 1e12, limit=1000):
        found[event.kind].append(event)
    return found


def test_everything_that_moves_memory_is_on_the_time_line(services: Services) -> None:
    """A step in the curve without a mark beside it leaves one guessing."""
    found = kinds(services)
    assert len(found[EventKind.START]) == 1
    (model,) = found[EventKind.MODEL]
    assert model.figures["bytes"] > 10e6
    assert model.figures["rss"] > model.figures["rss_before"]
    assert model.figures["seconds"] > 0
    assert found[EventKind.SNAPSHOT][0].figures["vectors"] > 0
    trim = found[EventKind.TRIM][0]
    assert min(trim.figures["rss_before"], trim.figures["rss_after"]) > 50e6
    assert found[EventKind.SETTINGS][0].detail == "retrieval"
    reported = [event for kind, events in found.items() if kind is not EventKind.COLLECTION for event in events]
    assert all(event.figures["rss"] > 50e6 for event in reported)


def test_many_files_are_few_events(services: Services) -> None:
    """One mark where the upload began, one sum; and one stretch of ingestion however many files it had."""
    found = kinds(services)
    uploads = found[EventKind.UPLOAD]
    eventually(lambda: sum(e.figures["documents"] for e in kinds(services)[EventKind.UPLOAD]) == 13, what="the sum")
    assert uploads[0].detail == "0.txt"
    assert len(kinds(services)[EventKind.UPLOAD]) < 6
    through = [event for event in found[EventKind.INGESTION] if "documents" in event.figures]
    assert sum(event.figures["documents"] for event in through) == 12
    assert sum(event.figures["failed"] for event in through) == 1
    assert sum(event.figures["chunks"] for event in through) == services.metrics.total(Counter.CHUNKS_EMBEDDED)
    assert len(found[EventKind.INGESTION]) <= 2 * len(through) + 1


def test_deletions_say_what_went(services: Services) -> None:
    """Deleted documents and conversations explain a drop."""
    first = kinds(services)[EventKind.DELETION][0]
    assert (first.detail, first.figures["documents"]) == ("2 documents", 2)
    assert first.figures["chunks"] > 0


def test_keys_are_not_on_the_time_line(services: Services) -> None:
    """A change of the chat model is told by its name, never with its key or address."""
    settings = [event.detail for event in kinds(services)[EventKind.SETTINGS]]
    assert settings[1:] == ["chat model: tiny", "chat model: none"]
    told = str(services.events.between(0, 1e12, limit=1000))
    assert "secret" not in told
    assert "127.0.0.1" not in told


def test_outcomes_are_counted(services: Services) -> None:
    """Failed documents and stopped answers are told from the others."""
    total = services.metrics.total
    assert total(Counter.DOCUMENTS_READY) == 12
    assert total(Counter.DOCUMENTS_FAILED) == 1
    assert total(Counter.DOCUMENTS_DELETED) == 2
    assert (total(Counter.ANSWERS_COMPLETE), total(Counter.ANSWERS_STOPPED)) == (1, 1)
    assert total(Counter.WINDOW_MISSES) >= 1
    assert total(Counter.BYTES_RECEIVED) > 12 * len(TEXT)


def test_samples_carry_the_use(services: Services) -> None:
    """Growth per request needs the count of requests beside the memory, in the same sample."""
    before = services.request_log.total
    with services.request_log.track("PAGE", "/chat"):
        pass

    def carried() -> bool:
        sample = services.memory.history.latest()
        return sample is not None and sample.get(Series.REQUESTS) == before + 1 and sample.get(Series.SESSIONS) == 0

    eventually(carried, what="a sample with the request")


def test_the_time_line_outlives_the_process(tmp_path: Path) -> None:
    """What happened before a restart is still there, the last sum and the end included."""
    with Application(Settings(data_dir=tmp_path)) as services:
        for _ in range(3):
            services.reporter.event(EventKind.UPLOAD, "x.txt", documents=1)
    # Whoever looks is no run of its own: command lines do not watch.
    with Application(Settings(data_dir=tmp_path), watched=False) as services:
        found = kinds(services)
    assert (len(found[EventKind.START]), len(found[EventKind.STOP])) == (1, 1)
    # There is no document of this name (any more): the start forgets it.
    assert [event.detail for event in found[EventKind.UPLOAD]] == ["a document that was deleted", "2 more"]
