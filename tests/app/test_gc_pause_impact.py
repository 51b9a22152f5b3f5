from __future__ import annotations

import gc
import threading

from services.app.gc_pause_impact import pause_impacts
from services.core.requests.concurrency import RequestKind, RunningRequest
from services.memory.sampling.gc_pauses import Pause, PauseRecorder
from services.operations.request_log import RecentRequests, Request


def request(begin: float, seconds: float, method: str = "GET") -> Request:
    return Request(begin, method, "/", 200, seconds, 0, 0, None, None, alone=True)


def running(began: float | None) -> RunningRequest:
    return RunningRequest("1", RequestKind.ANSWER, "somebody", "", 90.0, began, 0 if began else 1, None, None)


def test_what_overlaps_was_waiting() -> None:
    """A pause would be blamed on those that came before or after it, or nobody would be seen to wait."""
    stop = Pause(100.0, 2, 0.2, 0, 0)  # recorded at its end: from 99.8 on
    found = pause_impacts(
        [stop],
        [
            request(99.0, 0.7),  # over before it
            request(99.0, 0.9),  # caught at its end
            request(99.85, 0.01, "PAGE"),  # wholly within
            request(90.0, 60.0, "ANSWER"),  # around it
            request(100.1, 1.0),  # after it
        ],
        [running(99.9), running(None), running(101.0)],
    )
    assert found[0].waiting == {"ANSWER": 1, "API": 1, "PAGE": 1, "answer": 1}
    assert found[0].count == 4


def test_nobody_waited() -> None:
    """A pause of a quiet process must not show anybody."""
    assert pause_impacts([Pause(100.0, 0, 0.1, 0, 0)], [request(50, 1)])[0].waiting == {}


def test_a_faster_clock_stretches_what_took_real_seconds() -> None:
    """With a clock of tests the joins would be of moments that never met."""
    stop = Pause(100.0, 2, 0.1, 0, 0)
    assert pause_impacts([stop], [request(95.0, 0.2)])[0].count == 0
    assert pause_impacts([stop], [request(95.0, 0.2)], speed=30.0)[0].count == 1


def test_a_real_collection_meets_a_real_request() -> None:
    """The two recorders would tell moments that cannot be compared."""
    recorder = PauseRecorder()
    requests = RecentRequests(lambda: 0, lambda: None)
    recorder.start()
    try:
        with requests.track("GET", "/api"):
            worker = threading.Thread(target=gc.collect)
            worker.start()
            worker.join()
        gc.collect()
    finally:
        recorder.close()
    full = [pause for pause in recorder.recent() if pause.generation == 2]
    found = pause_impacts(full, requests.latest())
    assert [one.count for one in found] == [1, 0]
