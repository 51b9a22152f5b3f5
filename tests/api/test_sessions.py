from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.api.tab import run_page, tab
from tests.servers import Server, eventually


def value(server: Server, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def test_tabs_are_counted_while_they_are_connected(server: Server) -> None:
    """Streamlit's own count of sessions is not public: this fails when a new version moves it."""
    before = value(server, "millpond_sessions")
    with tab(server) as first, tab(server) as second:
        run_page(first)
        run_page(second)
        eventually(lambda: value(server, "millpond_sessions") == before + 2, what="both tabs")
    eventually(lambda: value(server, "millpond_sessions") == before, what="the end of both tabs")


def test_full_runs_of_pages_are_work(server: Server) -> None:
    """Growth per request must also be told where all use is made through pages."""
    name = "millpond_page_run_seconds_count"
    before, work = value(server, name, page="chat"), value(server, "millpond_work_total")
    with tab(server) as connection:
        run_page(connection)
        run_page(connection)
        eventually(lambda: value(server, name, page="chat") >= before + 2, what="the runs")
    assert value(server, "millpond_work_total") - work == value(server, name, page="chat") - before
    assert "page run" in server.log.read_text()
