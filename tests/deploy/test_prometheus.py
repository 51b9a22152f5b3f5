from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.tools import DEPLOY, prometheus, promtool, tool
from tests.servers import Server, eventually

CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
RULES = DEPLOY / "prometheus" / "millpond.rules.yml"
RULE_TESTS = Path(__file__).with_name("millpond.rules.test.yml")


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_configuration_and_rules_are_valid() -> None:
    """Prometheus would not start with a mistake in its files."""
    assert "SUCCESS" in promtool("check", "config", str(CONFIG))
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should() -> None:
    """An alert with a wrong threshold, label or name of a metric stays silent for ever, or never does."""
    assert "SUCCESS" in promtool("test", "rules", str(RULE_TESTS))


def test_each_alert_is_tried_both_ways() -> None:
    """An alert that nobody tried would be found out at night."""
    cases = [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in alerts()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_each_alert_says_what_it_is_and_how_grave() -> None:
    """An alert without words wakes somebody up who does not know why."""
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_prometheus_watches_a_console(server: Server, tmp_path: Path) -> None:
    """The delivered configuration, with the address alone changed, makes a real Prometheus scrape and evaluate."""
    tool("prometheus")
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [server.url.removeprefix("http://")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(RULES, tmp_path)
    with prometheus(tmp_path / "prometheus.yml", tmp_path / "data") as url, httpx.Client(trust_env=False) as client:

        def get(path: str, **query: str) -> Any:
            answer = client.get(f"{url}/api/v1/{path}", params=query)
            return answer.json().get("data", {}) if answer.status_code == 200 else {}  # text while it starts

        def targets() -> list[dict[str, Any]]:
            return list(get("targets").get("activeTargets", []))

        eventually(lambda: [target["health"] for target in targets()] == ["up"], what="the target")
        assert targets()[0]["lastError"] == ""

        def rules() -> list[dict[str, Any]]:
            return [rule for group in get("rules", type="alert")["groups"] for rule in group["rules"]]

        eventually(lambda: all(rule["health"] == "ok" for rule in rules()), what="the rules' evaluation")
        assert {rule["name"] for rule in rules()} == {rule["alert"] for rule in alerts()}
        eventually(lambda: get("query", query="millpond_ready == 1")["result"], what="a sample")
        rss = float(get("query", query="millpond_rss_bytes")["result"][0]["value"][1])
        assert 50e6 < rss < 50e9
        closes = "abs(sum(millpond_ledger_bytes) / scalar(millpond_ledger_rss_bytes) - 1) < 0.001"
        eventually(lambda: get("query", query=closes)["result"], what="a ledger that adds up to RSS")
