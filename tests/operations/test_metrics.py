from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from services.core.errors import UnavailableError
from services.core.events import Counter, Timer
from services.operations.metric_names import COUNTED, TIMED
from services.operations.metrics import Family, Metrics, MetricValue

DEPTH = Family("millpond_depth_meters", "How deep it is.", ("pond",))
FISH = Family("millpond_fish_total", "Fish seen.", kind="counter")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels as they are written."""
    text = metrics.render()[0].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_all_that_rooms_can_report_is_counted(metrics: Metrics) -> None:
    """A new kind of report without a metric would raise where something is reported, and only then."""
    assert set(TIMED) == set(Timer)
    for timing in Timer:
        metrics.observe(timing, 0.5)
    for counted in Counter:
        metrics.count(counted, 2)
    found = values(metrics)
    for timed in TIMED.values():
        assert found[f"{timed.name}_count"] == 1
        assert found[f"{timed.name}_sum"] == 0.5
    for counted, as_ in COUNTED.items():
        labels = ",".join(f'{name}="{value}"' for name, value in as_.labels)
        assert found[as_.counter + (f"{{{labels}}}" if labels else "")] == 2
        assert metrics.total(counted) == 2
    assert metrics.total(Counter.WINDOW_HITS) == 2


def test_counts_start_at_zero(metrics: Metrics) -> None:
    """A series that appears with its first event hides that event from every rate."""
    found = values(metrics)
    assert found['millpond_answers_total{state="failed"}'] == 0
    assert found["millpond_retrieval_seconds_count"] == 0


def test_time_never_counts_backwards(metrics: Metrics) -> None:
    """A clock that was set back must not break a counter, which may only rise."""
    metrics.observe(Timer.PARSING, -1.0)
    metrics.count(Counter.BYTES_RECEIVED, -5)
    found = values(metrics)
    assert found["millpond_parsing_seconds_sum"] == 0
    assert found["millpond_received_bytes_total"] == 0


def test_a_part_is_read_at_each_scrape(metrics: Metrics) -> None:
    """What is exposed is the state now; what is not known has no sample, but its name stays with its help."""
    depth = [1.5]

    def read() -> Iterator[MetricValue]:
        yield MetricValue(DEPTH, depth[0], ("mill",))
        yield MetricValue(DEPTH, None, ("village",))
        yield MetricValue(DEPTH, float("nan"), ("castle",))
        yield MetricValue(FISH, 3)

    metrics.add_part("pond", (DEPTH, FISH), read)
    assert values(metrics)['millpond_depth_meters{pond="mill"}'] == 1.5
    depth[0] = 2.5
    found = values(metrics)
    assert found['millpond_depth_meters{pond="mill"}'] == 2.5
    assert [name for name in found if "pond=" in name] == ['millpond_depth_meters{pond="mill"}']
    assert found["millpond_fish_total"] == 3
    assert found['millpond_part_unread{part="pond"}'] == 0


def test_a_part_that_fails_costs_its_own_values_only(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """One defect must not blind the whole monitoring; it is exposed, and logged once."""
    broken = [True]

    def read() -> Iterator[MetricValue]:
        yield MetricValue(FISH, 1)
        if broken[0]:
            raise ZeroDivisionError("no water")
        yield MetricValue(DEPTH, 1.0, ("mill",))

    metrics.add_part("pond", (DEPTH, FISH), read)
    for _ in range(3):
        found = values(metrics)
    assert found['millpond_part_unread{part="pond"}'] == 1
    assert found["millpond_fish_total"] == 1
    assert "millpond_retrieval_seconds_count" in found
    broken[0] = False
    found = values(metrics)
    assert found['millpond_part_unread{part="pond"}'] == 0
    assert found['millpond_depth_meters{pond="mill"}'] == 1.0


def test_a_part_that_is_not_there_yet_is_no_failure(metrics: Metrics) -> None:
    """Before the start is through, what is known is exposed and nothing is reported as broken."""

    def read() -> Iterator[MetricValue]:
        yield MetricValue(FISH, 1)
        raise UnavailableError("Still starting.")

    metrics.add_part("pond", (FISH,), read)
    found = values(metrics)
    assert found['millpond_part_unread{part="pond"}'] == 0
    assert found["millpond_fish_total"] == 1


def test_two_parts_cannot_claim_one_name(metrics: Metrics) -> None:
    """A name that is exposed twice makes Prometheus refuse the whole scrape."""
    metrics.add_part("pond", (FISH,), list)
    with pytest.raises(ValueError, match="millpond_fish_total"):
        metrics.add_part("river", (FISH,), list)


class Recorder:
    """What sampling hands over."""

    bounds: Sequence[float] = (0.001, 0.01)

    def pauses(self) -> Mapping[int, tuple[Sequence[int], float]]:
        return {0: ([5, 1, 0], 0.004), 2: ([0, 0, 2], 0.5)}


def test_pauses_become_a_histogram(metrics: Metrics) -> None:
    """Prometheus's buckets add up from below; the recorder's do not."""
    assert not [name for name in values(metrics) if name.startswith("millpond_gc_pause")]
    metrics.set_pause_source(Recorder())
    found = values(metrics)
    buckets = [found[f'millpond_gc_pause_seconds_bucket{{generation="0",le="{le}"}}'] for le in (0.001, 0.01, "+Inf")]
    assert buckets == [5, 6, 6]
    assert found['millpond_gc_pause_seconds_count{generation="2"}'] == 2
    assert found['millpond_gc_pause_seconds_sum{generation="2"}'] == 0.5


def test_both_formats_can_be_read(metrics: Metrics) -> None:
    """Prometheus asks for OpenMetrics and falls back to its own text; both must be what they say they are."""
    metrics.set_pause_source(Recorder())
    metrics.observe_request("GET", "/api/x", 200, 0.1)
    plain, kind = metrics.render("text/plain;version=0.0.4")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert len(list(plain_families(plain.decode()))) > 15
    text, kind = metrics.render("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    assert len(list(open_families(text.decode()))) > 15


def test_reports_from_many_threads_are_all_there(metrics: Metrics) -> None:
    """A count that is lost between threads makes every share wrong."""

    def work() -> None:
        for _ in range(500):
            metrics.count(Counter.CHUNKS_EMBEDDED)
            metrics.observe(Timer.EMBEDDING, 0.01)
            metrics.observe_request("GET", "/api/x", 200, 0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        metrics.render()
    for thread in threads:
        thread.join()
    found = values(metrics)
    assert found["millpond_chunks_embedded_total"] == 2000
    assert found["millpond_embedding_seconds_count"] == 2000
    assert found['millpond_request_seconds_count{method="GET",route="/api/x",status="2xx"}'] == 2000
