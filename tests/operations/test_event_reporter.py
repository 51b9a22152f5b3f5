from __future__ import annotations

import gc
from collections.abc import Mapping

import pytest

from services.app.build_memory import LongCollections
from services.core.events import Counter, EventKind, Timer
from services.memory.sampling.gc_pauses import Pause, PauseRecorder
from services.operations.event_log import EventLog
from services.operations.event_reporter import EventCoalescer, EventReporter
from services.operations.metrics import Metrics

UPLOAD = EventKind.UPLOAD


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("services.operations.event_reporter.time.monotonic", lambda: now[0])
    return now


def events(log: EventLog) -> list[tuple[str, Mapping[str, float]]]:
    return [(event.detail, event.figures) for event in log.between(0, 1e12, limit=1000)]


def test_two_hundred_files_are_two_events(clock: list[float]) -> None:
    """Two hundred marks in one place hide everything else on the time line."""
    log = EventLog(lambda: 1.0)
    bursts = EventCoalescer(log.record)
    for number in range(200):
        clock[0] += 0.1
        bursts.add(UPLOAD, f"{number}.txt", {"bytes": 10, "documents": 1})
    bursts.flush()
    assert [detail for detail, _ in events(log)] == ["0.txt"]  # at once
    clock[0] += 4
    bursts.flush()
    bursts.flush()
    (_, first), (detail, rest) = events(log)
    assert first == {"bytes": 10, "documents": 1}
    assert detail == "199 more"
    assert (rest["bytes"], rest["documents"], rest["count"]) == (1990, 199, 199)
    assert rest["seconds"] == pytest.approx(19.9)


def test_single_events_are_recorded_one_by_one(clock: list[float]) -> None:
    """What happens now and then is recorded as it is, without a summary of nothing."""
    log = EventLog(lambda: 1.0)
    bursts = EventCoalescer(log.record)
    for name in ("a.txt", "b.txt"):
        bursts.add(UPLOAD, name, {})
        clock[0] += 10
    bursts.flush()
    assert [detail for detail, _ in events(log)] == ["a.txt", "b.txt"]


def test_a_burst_without_end_is_summed_up_now_and_then(clock: list[float]) -> None:
    """Somebody who uploads for an hour still sees it on the time line while it goes on."""
    log = EventLog(lambda: 1.0)
    bursts = EventCoalescer(log.record)
    for _ in range(130):
        bursts.add(UPLOAD, "x", {})
        clock[0] += 1
        bursts.flush()
    assert len(events(log)) == 5  # a first one and a summary for each minute, and the third burst's first


def test_what_is_left_is_recorded_at_the_end(clock: list[float]) -> None:
    """A stop right after a burst must not lose its summary."""
    log = EventLog(lambda: 1.0)
    reports = EventReporter(log, Metrics(), lambda: 5_000_000)
    for _ in range(3):
        reports.event(UPLOAD, "x", bytes=1)
    reports.flush(everything=True)
    assert [detail for detail, _ in events(log)] == ["x", "2 more"]
    assert all(figures["rss"] == 5_000_000 for _, figures in events(log))


def test_reports_reach_the_metrics() -> None:
    """Durations and counts go to the exposition, events to the time line."""
    metrics = Metrics()
    log = EventLog(lambda: 1.0)
    reports = EventReporter(log, metrics, lambda: 1)
    reports.count(Counter.DOCUMENTS_READY, 3)
    reports.observe(Timer.RETRIEVAL, 0.1)
    reports.event(EventKind.SNAPSHOT, "index snapshot 1", vectors=7)
    text = metrics.render()[0].decode()
    assert 'millpond_documents_total{outcome="ready"} 3.0' in text
    assert "millpond_retrieval_seconds_count 1.0" in text
    assert events(log) == [("index snapshot 1", {"vectors": 7.0, "rss": 1.0})]


def test_only_long_collections_of_the_oldest_generation_are_events() -> None:
    """Hundreds of collections of the youngest generation a minute are no news; a stop of 20 ms is, once."""
    pauses = [
        Pause(1.0, 0, 0.05, 10, 0),
        Pause(2.0, 2, 0.005, 10, 0),
        Pause(3.0, 2, 0.02, 100, 0),
        Pause(4.0, 2, 0.03, 200, 0),
    ]
    log = EventLog(lambda: 9.0)
    watch = LongCollections(lambda: pauses, log)
    watch.report()
    watch.report()
    (event,) = log.between(0, 10)
    assert (event.time, event.kind, event.detail) == (4.0, EventKind.COLLECTION, "2 collections of generation 2")
    assert event.figures == pytest.approx({"count": 2, "seconds": 0.05, "longest_seconds": 0.03, "collected": 300})
    pauses.append(Pause(5.0, 2, 0.04, 1, 0))
    watch.report()
    assert len(log.between(0, 10)) == 2


def test_real_collections_are_recorded_for_it() -> None:
    """The recorder and the exposition must agree on what a histogram is."""
    recorder = PauseRecorder()
    metrics = Metrics()
    metrics.set_pause_source(recorder)
    recorder.start()
    try:
        gc.collect()
    finally:
        recorder.close()
    text = metrics.render()[0].decode()
    assert 'millpond_gc_pause_seconds_count{generation="2"} 1.0' in text
