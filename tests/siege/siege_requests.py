"""Requests generated from the OpenAPI document of a running server: thousands, with several seeds, and all checks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.servers import serving
from tests.siege.generated_requests import attack
from tests.siege.report import Report

SEEDS = (1, 2, 3)
EXAMPLES = 25  # of each operation and seed; as many more are derived from the limits in the document
PHASES = "examples,coverage,fuzzing,stateful"


def run(report: Report) -> None:
    """Attack every operation; report findings and defects."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with serving(data, answers_waiting=64) as server:
            server.wait_finished(server.add("pump.txt", b"Check the oil weekly. Pump seals are covered for 12 months."))
            sent = 0
            for seed in SEEDS:
                outcome = attack(server.url, Path(folder), phases=PHASES, seed=seed, examples=EXAMPLES)
                sent += outcome.requests
                print(outcome.output if outcome.findings else f"seed {seed}: {outcome.requests} requests", flush=True)
                what = f"findings of schemathesis, seed {seed}"
                report(what, len(outcome.findings), 0, "findings", f"{outcome.operations} operations")
            assert server.client.get("/readyz").status_code == 200
            log = server.log.read_text()
            report("defects in the log", log.count('"event": "defect"'), 0, "defects", f"{sent} requests")
