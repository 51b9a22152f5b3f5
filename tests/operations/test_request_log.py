from __future__ import annotations

from collections.abc import Callable

import pytest

from services.operations.request_log import RecentRequests, log_fields


class Memory:
    """A process that grows by a megabyte with each look."""

    def __init__(self) -> None:
        self.rss = 100
        self.slow = 0.0
        self.looks = 0

    def rss_bytes(self) -> int:
        self.rss += 1
        return self.rss * 1048576

    def heap_bytes(self) -> int:
        self.looks += 1
        return self.rss * 1000


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def requests(memory: Memory) -> RecentRequests:
    return RecentRequests(memory.rss_bytes, memory.heap_bytes, lambda: 1000.0, limit=3)


def test_memory_before_and_after(requests: RecentRequests) -> None:
    """A request that leaves memory behind is found by what was there before and after it."""
    noted = requests.end(requests.begin(), "GET", "/api/x", 200, "id-1")
    assert (noted.method, noted.route, noted.status, noted.id) == ("GET", "/api/x", 200, "id-1")
    assert noted.rss_after - noted.rss_before == 1048576
    assert noted.heap_before is not None
    assert noted.heap_after is not None
    assert noted.heap_after - noted.heap_before == 1000
    assert noted.time <= 1000.0
    assert noted.alone
    assert log_fields(noted)["rss_after_mb"] - log_fields(noted)["rss_before_mb"] == 1


def test_the_list_is_bounded_and_the_count_is_not(requests: RecentRequests) -> None:
    """What is kept must not grow with the number of requests."""
    for number in range(5):
        requests.end(requests.begin(), "GET", f"/{number}", 200)
    assert [request.route for request in requests.latest()] == ["/4", "/3", "/2"]
    assert [request.route for request in requests.latest(1)] == ["/4"]
    assert requests.total == 5


def test_overlapping_requests_are_marked(requests: RecentRequests) -> None:
    """What another request allocated must not be attributed to this one."""
    first = requests.begin()
    second = requests.begin()
    assert not requests.end(second, "GET", "/second", 200).alone
    assert not requests.end(first, "GET", "/first", 200).alone
    assert requests.end(requests.begin(), "GET", "/third", 200).alone


def test_what_did_no_work_is_dropped(requests: RecentRequests) -> None:
    """Paths that do not exist are no work: a scanner would change the growth per request."""
    requests.discard(requests.begin())
    assert requests.total == 0
    assert requests.latest() == []
    assert requests.end(requests.begin(), "GET", "/", 200).alone


def test_a_page_that_reruns_has_not_failed(requests: RecentRequests) -> None:
    """Streamlit ends a script by exceptions that are no errors; a defect is one."""

    class Rerun(BaseException):
        pass

    def run(error: Callable[[], BaseException]) -> None:
        with requests.track("PAGE", "/chat", log_as="page run"):
            raise error()

    with pytest.raises(Rerun):
        run(Rerun)
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError)
    assert [request.status for request in requests.latest()] == [500, 200]


def test_a_dear_look_at_the_heap_is_taken_rarely(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fragmented heap the look takes milliseconds: it must not be paid with each request."""
    now = [0.0]
    monkeypatch.setattr("services.operations.request_log.time.perf_counter", lambda: now[0])

    def slow() -> int:
        now[0] += 0.010
        return memory.heap_bytes()

    requests = RecentRequests(memory.rss_bytes, slow)
    for _ in range(100):
        requests.end(requests.begin(), "GET", "/", 200)
    assert memory.looks == 1
    assert requests.latest(1)[0].heap_after is None
    now[0] += 10.0
    requests.begin()
    assert memory.looks == 2
