from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from console.ui.charts.palette import PALETTE, family_of
from services.core.memory_report import Owner
from tests.deploy.tools import DEPLOY, promtool
from tests.servers import Server

DASHBOARD = DEPLOY / "grafana" / "millpond.json"
VARIABLES = {
    "$__rate_interval": "5m",
    "$__interval": "1m",
    "$job": "millpond",
    "$instance": "127.0.0.1:8501",
    "$node": "a",
}
ROWS = ("verdict", "whose memory", "budget", "garbage", "latency", "queues", "ingestion", "sessions", "nodes", "gpu")


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Every query of panels and annotations, and the metrics behind the variables, with Grafana's variables filled."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [each["target"]["expr"] for each in dashboard["annotations"]["list"] if "target" in each]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found.append(variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0])
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def test_queries_are_valid(dashboard: dict[str, Any], tmp_path: Path) -> None:
    """A query with a mistake shows as an empty panel."""
    queries = expressions(dashboard)
    assert not [query for query in queries if "$" in query]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in promtool("check", "rules", str(file))


def test_queries_ask_for_what_there_is(dashboard: dict[str, Any], server: Server) -> None:
    """A metric that was renamed, or never existed, shows as an empty panel; so does a label that it has not."""
    names: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(server.client.get("/metrics").text):
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
        base = family.name.removesuffix("_total") if family.type == "counter" else family.name
        names |= {f"{base}{suffix}": family.name for suffix in suffixes}
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    asked = {
        name for query in expressions(dashboard) for name in re.findall(r"\b(?:millpond|python|process)_\w+", query)
    }
    assert len(asked) > 50
    assert asked <= set(names)
    for query in expressions(dashboard):
        for name, matchers in re.findall(r"\b((?:millpond|python|process)_\w+)\{([^}]*)\}", query):
            used = set(re.findall(r"(\w+)=~?\"", matchers)) - {"job", "instance"}
            assert not labels.get(name) or used <= labels[name], query


def test_it_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    """A dashboard bound to one Grafana's data source or ids cannot be imported into another."""
    assert dashboard["id"] is None
    assert dashboard["schemaVersion"] == 42  # Grafana 12 and 13
    kinds = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    assert kinds["datasource"] == "datasource"
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
            assert panel["description"]


def test_panels_lie_side_by_side(dashboard: dict[str, Any]) -> None:
    """Panels with one id or in one place hide each other."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    titles = " ".join(panel["title"].lower() for panel in panels if panel["type"] == "row")
    assert all(row in titles for row in ROWS)


def test_owners_have_the_colours_of_the_pages(dashboard: dict[str, Any]) -> None:
    """The same owner in another colour misleads whoever looks at both."""
    (ledger,) = [panel for panel in dashboard["panels"] if panel["title"] == "Ledger"]
    colours = {
        override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
        for override in ledger["fieldConfig"]["overrides"]
    }
    assert {owner.value: PALETTE[family_of(owner)][1] for owner in Owner}.items() <= colours.items()
