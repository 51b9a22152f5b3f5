from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from services.core.memory_report import Owner
from tests.deploy.tools import promtool
from tests.servers import Server, eventually, spawn


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Response]]:
    """A server whose counts are those of this module's requests alone, and its metrics while models still loaded."""
    server = spawn(tmp_path_factory.mktemp("metrics") / "data", answers_total=3)
    try:
        first = server.client.get("/metrics")
        server.wait_ready()
        yield server, first
    finally:
        server.stop()


@pytest.fixture
def own(scraped: tuple[Server, httpx.Response]) -> Server:
    """The server alone."""
    return scraped[0]


def samples(server: Server) -> list[Sample]:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    return [sample for family in families for sample in family.samples]


def value(server: Server, name: str, **labels: str) -> float:
    """The sum over the series of that name with these labels."""
    return sum(
        sample.value for sample in samples(server) if sample.name == name and labels.items() <= sample.labels.items()
    )


def work(server: Server) -> int:
    """Take a document in, search, ask, delete; return how many calls of the API that took."""
    document = server.add(f"{uuid4().hex}.txt", b"The mill pond is deep, and trout swim in it. " * 40)
    calls = 1
    while server.client.get(f"/api/documents/{document}").json()["status"] != "ready":
        calls += 1
    assert server.client.post("/api/search", json={"query": "Which fish swim in the pond?"}).status_code == 200
    question = {"model": "millpond", "messages": [{"role": "user", "content": "Which fish swim in the mill pond?"}]}
    assert server.client.post("/v1/chat/completions", json=question).status_code == 200
    assert server.client.delete(f"/api/documents/{document}").is_success
    return calls + 4


def test_promtool_has_nothing_to_say(own: Server) -> None:
    """Names, types, units and help that Prometheus's own check objects to would be found out by every user."""
    work(own)
    for accept in ("", "text/plain;version=0.0.4"):
        exposed = own.client.get("/metrics", headers={"Accept": accept}).content
        assert promtool("check", "metrics", stdin=exposed) == ""


def test_content_types_follow_the_accept_header(own: Server) -> None:
    """Prometheus refuses an exposition that is not of the type it says."""
    answer = own.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    wanted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    answer = own.client.get("/metrics", headers={"Accept": wanted})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert answer.text.endswith("# EOF\n")


def test_real_work_moves_the_counters(own: Server) -> None:
    """A counter that nobody raises is worse than none: it says that nothing happened."""
    names = {
        "millpond_received_bytes_total": 1800,
        "millpond_retrieval_seconds_count": 2,
        "millpond_ingestion_wait_seconds_count": 1,
        "millpond_parsing_seconds_count": 1,
        "millpond_embedding_seconds_count": 1,
        "millpond_answer_wait_seconds_count": 1,
        "millpond_answer_seconds_count": 1,
        "millpond_first_token_seconds_count": 1,
    }
    labelled = [
        ("millpond_documents_total", {"outcome": "ready"}),
        ("millpond_documents_total", {"outcome": "deleted"}),
        ("millpond_answers_total", {"state": "complete"}),
        ("millpond_request_seconds_count", {"method": "POST", "route": "/api/search", "status": "2xx"}),
        ("millpond_request_seconds_count", {"route": "/api/documents/{document_id}", "method": "DELETE"}),
    ]
    before = [value(own, name) for name in names] + [value(own, name, **labels) for name, labels in labelled]
    chunks, done = value(own, "millpond_chunks_embedded_total"), value(own, "millpond_work_total")
    calls = work(own)
    after = [value(own, name) for name in names] + [value(own, name, **labels) for name, labels in labelled]
    assert [new - old for new, old in zip(after, before, strict=True)] == [*names.values(), *[1] * len(labelled)]
    assert value(own, "millpond_chunks_embedded_total") > chunks
    assert value(own, "millpond_work_total") - done == calls  # scrapes and probes are no work


def test_state_is_what_it_is(own: Server) -> None:
    """Gauges are read from the parts; one that is not connected stays away or stands still."""
    eventually(lambda: value(own, "millpond_ledger_rss_bytes"), what="a ledger")
    found = {sample.name: sample.value for sample in samples(own) if not sample.labels}
    assert found["millpond_ready"] == 1
    assert found["millpond_answer_slots"] == 3
    assert found["millpond_sessions"] == 0
    assert found["millpond_rss_bytes"] == pytest.approx(found["process_resident_memory_bytes"], rel=0.2)
    assert found["millpond_threads"] > 5
    assert found["millpond_descriptors"] > 5
    assert found["millpond_python_blocks"] > 100_000
    assert found["millpond_memory_limit_bytes"] > found["millpond_rss_bytes"]
    owners = {sample.labels["owner"]: sample.value for sample in samples(own) if sample.name == "millpond_ledger_bytes"}
    assert set(owners) == set(Owner)
    state = [sample for sample in samples(own) if sample.name == "millpond_verdict_state" and sample.value]
    assert len(state) == 1
    assert value(own, "millpond_gc_pause_seconds_count") > 0
    assert value(own, "millpond_part_unread") == 0


def test_paths_of_strangers_make_no_series(own: Server) -> None:
    """A label that takes what a client sends lets anybody fill the memory of this process and of Prometheus."""
    own.client.get("/metrics")
    series = len(samples(own))
    for number in range(50):
        for path in ("/api/", "/v1/", "/", "/docs/", "/api/documents/", "/_stcore/", "/static/"):
            own.client.get(f"{path}{uuid4().hex}/{number}")
            own.client.request(f"M{number}", f"{path}{uuid4().hex}")
    found = [sample for sample in samples(own) if sample.name == "millpond_request_seconds_count"]
    assert len({sample.labels["route"] for sample in found}) < 30
    assert {sample.labels["method"] for sample in found} <= {"GET", "POST", "DELETE", "HEAD", "OTHER"}
    assert {sample.labels["status"] for sample in found} <= {"2xx", "3xx", "4xx", "5xx", "none"}
    assert len(samples(own)) - series < 15 * 20
    before = value(own, "millpond_work_total")
    own.client.get(f"/api/{uuid4().hex}")
    assert value(own, "millpond_work_total") == before


def test_buckets_fit_what_is_measured(own: Server) -> None:
    """A histogram whose values all fall into its first or last bucket can tell no percentile."""
    work(own)
    for name in ("millpond_request_seconds", "millpond_retrieval_seconds", "millpond_embedding_seconds"):
        buckets = [sample for sample in samples(own) if sample.name == f"{name}_bucket"]
        bounds = sorted({float(sample.labels["le"]) for sample in buckets})
        total = {bound: sum(s.value for s in buckets if float(s.labels["le"]) == bound) for bound in bounds}
        assert total[bounds[0]] < total[bounds[-1]]
        assert total[bounds[-2]] == total[bounds[-1]]


def test_the_log_has_the_memory_of_each_call(own: Server) -> None:
    """Which request left its memory behind can be told from the log afterwards."""
    own.client.post("/api/search", json={"query": "trout"}, headers={"X-Request-ID": "memory-1"})
    own.client.get("/healthz", headers={"X-Request-ID": "memory-2"})

    def lines() -> dict[str, dict[str, object]]:
        entries = [json.loads(line) for line in own.log.read_text().splitlines() if line.startswith("{")]
        return {entry["request_id"]: entry for entry in entries if entry.get("event") == "request"}

    eventually(lambda: "memory-1" in lines(), what="the request's log line")
    line = lines()["memory-1"]
    for name in ("rss_before_mb", "rss_after_mb", "ms", "rss_mb"):
        assert float(str(line[name])) > 0
    assert "memory-2" not in lines()  # probes are not logged


def test_metrics_are_told_from_the_first_moment(scraped: tuple[Server, httpx.Response]) -> None:
    """While models load, a scrape shows what is known instead of failing: that is when memory grows most."""
    server, first = scraped
    assert first.status_code == 200
    assert "millpond_ready " in first.text
    assert "millpond_start_time_seconds " in first.text
    assert promtool("check", "metrics", stdin=first.content) == ""
    assert value(server, "millpond_ready") == 1
