"""Figures that a real server tells through different doors, put together by the moment for which they are told."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from services.core.machine import MEGABYTE
from tests.servers import Server


@dataclass
class Moments:
    """What each door told, by moment and name of the figure; how well owners and RSS fitted, and how old all was."""

    told: dict[float, dict[str, dict[str, float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    misfits: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    ready: bool = False

    def add(self, door: str, moment: float, figures: Mapping[str, float | None]) -> None:
        """Add what a door told for a moment."""
        for name, value in figures.items():
            if value is not None:
                self.told[round(moment, 3)][name][door] = float(value)

    def add_log(self, text: str) -> None:
        """Add the lines of the log: each tells RSS as it was shown when the line was written."""
        shown = {round(found["rss"][door] / MEGABYTE, 1) for found in self.told.values() for door in found["rss"]}
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        requests = [
            line for line in lines if line.get("event") == "request" and "/api/memory" in str(line.get("route"))
        ]
        for line in requests:
            if self.ready and line["rss_mb"] not in shown:
                self.add("log line", 0.0, {f"rss of {line['timestamp']}": line["rss_mb"]})
                self.add("pages and API", 0.0, {f"rss of {line['timestamp']}": -1.0})

    def differing(self) -> list[str]:
        """Return what was told differently for one moment, in words."""
        return [
            f"{name} at {moment}: {values}"
            for moment, figures in self.told.items()
            for name, values in figures.items()
            if max(values.values()) - min(values.values()) > 1e-6 * max(1.0, abs(max(values.values())))
        ]

    def compared(self) -> int:
        """Return how many figures were told by more than one door for one moment."""
        return sum(len(values) > 1 for figures in self.told.values() for values in figures.values())

    def misfit(self) -> float:
        """Return the largest share of RSS that owners did not have, or had too much of."""
        return max(self.misfits)

    def oldest(self) -> float:
        """Return the age in seconds of the oldest figures that were told."""
        return max(self.ages)

    def summary(self) -> str:
        """Return how much was compared."""
        return f"{len(self.told)} moments, {self.compared()} figures from more than one door"


def poll(server: Server, moments: Moments) -> None:
    """Read every door of a server once."""
    moments.ready = server.client.get("/readyz").status_code == 200
    answer = server.client.get("/api/memory")
    if answer.status_code == 200:
        memory = answer.json()
        moments.ages.append(time.time() - memory["time"])
        moments.add("/api/memory", memory["time"], _memory_figures(memory))
        owners = sum(owner["bytes"] for owner in memory["owners"])
        if owners and moments.ready:
            moments.misfits.append(abs(memory["rss_bytes"] - owners) / memory["rss_bytes"])
            moments.add("owners", memory["time"], {"rss": owners + memory["since_ledger_bytes"]})
    for path, name in (("/api/budget", "rss_bytes"), ("/api/requests", "rss"), ("/api/status", "rss_bytes")):
        answer = server.client.get(path)
        if answer.status_code == 200:
            found = answer.json()
            figures = {"rss": found[name], "limit": found.get("limit_bytes") or None}
            moments.add(path, found["measured_at"], figures)
    scraped = _scrape(server)
    if (moment := scraped.pop("time", None)) is not None:
        moments.add("/metrics", moment, scraped)


def _memory_figures(memory: dict[str, Any]) -> dict[str, float | None]:
    latest = memory["latest"]
    return {
        "rss": memory["rss_bytes"],
        "limit": memory["limit_bytes"],
        "ledger": memory["ledger_rss_bytes"],
        "unnamed": memory["unattributed_bytes"],
        "watching": memory["watching"]["cpu_cores"],
        "live": latest.get("live"),
        "collections": latest.get("gc_runs_2"),
        "pauses": latest.get("gc_pause"),
        "descriptors": latest.get("descriptors"),
    }


_NAMES = {
    "millpond_sample_timestamp_seconds": "time",
    "millpond_rss_bytes": "rss",
    "millpond_memory_limit_bytes": "limit",
    "millpond_ledger_rss_bytes": "ledger",
    "millpond_ledger_unattributed_bytes": "unnamed",
    "millpond_sampler_cpu_cores": "watching",
    "millpond_live_bytes": "live",
    "process_open_fds": "descriptors",
}


def _scrape(server: Server) -> dict[str, float | None]:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    found: dict[str, float | None] = {_NAMES[one.name]: one.value for one in samples if one.name in _NAMES}
    pauses = [one.value for one in samples if one.name == "millpond_gc_pause_seconds_sum"]
    found["pauses"] = sum(pauses) if pauses else None
    old = [
        one.value for one in samples if one.name == "python_gc_collections_total" and one.labels["generation"] == "2"
    ]
    found["collections"] = old[0] if old else None
    return found
