"""How collector and policy meet the rest of the service."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from services.app.build_memory import MANY_DOCUMENTS, big_work_listener
from services.core.events import EventKind
from services.operations.event_log import EventLog
from services.operations.event_reporter import EventReporter
from services.operations.metrics import Metrics
from tests.servers import Server


def test_big_work_is_heard_of() -> None:
    """Fails when a delete of many or an unloaded model is not told to the policy, or each small delete is."""
    heard: list[str] = []
    policy: Any = SimpleNamespace(report_large_work=lambda what, **_how: heard.append(what))
    reports = EventReporter(EventLog(lambda: 0.0), Metrics(), lambda: 0)
    reports.event(EventKind.DELETION, "too early to be heard", documents=MANY_DOCUMENTS)
    reports.add_listener(big_work_listener(policy))
    reports.event(EventKind.DELETION, "one document", documents=1)
    reports.event(EventKind.MODEL, "loaded", seconds=1.0)
    assert heard == []
    reports.event(EventKind.DELETION, "many", documents=MANY_DOCUMENTS)
    reports.action("Ada", EventKind.MODEL, "unloaded", unloaded=1)
    assert len(heard) == 2


def test_metrics_tell_how_the_collector_is_set(server: Server) -> None:
    """Fails when settings, gate or policy are missing from the metrics."""
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    found = {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}
    assert found["millpond_gc_enabled",] == 1
    assert found["millpond_gc_threshold", "0"] >= 700
    assert found["millpond_gc_policy_active",] == 1
    assert found["millpond_gc_trial",] == 0
    assert ("millpond_gc_policy_runs_total", "idle") in found
    assert not found["millpond_part_unread", "collector"] + found["millpond_part_unread", "policy"]
