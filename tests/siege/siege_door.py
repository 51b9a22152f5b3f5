"""Every payload against the door of a running server with accounts, and wrong passwords in between; nothing passes."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.siege.door_payloads import fault, payloads
from tests.siege.report import Report
from tests.team import PASSWORD, serving_team

LEAST = 300


def run(report: Report) -> None:
    """Send them all; afterwards who is right still signs in."""
    with tempfile.TemporaryDirectory() as folder, serving_team(Path(folder) / "data") as team:
        url = team.server.url
        faults: Counter[str] = Counter()
        sent = 0
        for payload in payloads(url):
            sent += 1
            if found := fault(url, payload):
                faults[f"{payload.what}: {payload.method} {payload.path[:60]}: {found}"] += 1
        for what, times in faults.most_common(20):
            print(f"{times:4} {what}", flush=True)
        report("payloads that passed or broke something", faults.total(), 0, "payloads", f"of {sent}")
        report("payloads too few", max(0, LEAST - sent), 0, "payloads")
        log = team.server.log.read_text()
        report("defects in the log", log.count('"event": "defect"') + log.count("Traceback (most"), 0, "defects")
        with team.browser() as client:
            wrong = client.post("/sign-in", data={"name": "uma", "password": PASSWORD}).status_code != 303
            report("the right password is refused", int(wrong), 0, "")
