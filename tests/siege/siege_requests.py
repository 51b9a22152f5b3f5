"""Requests generated from the OpenAPI document of a running server: thousands, with several seeds, and all checks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.servers import serving
from tests.siege.generated_requests import attack
from tests.siege.report import Report
from tests.team import serving_team

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
            assert server.client.get("/api/documents").status_code == 200, "an account was made: the rest was refused"
            log = server.log.read_text()
            report("defects in the log", log.count('"event": "defect"'), 0, "defects", f"{sent} requests")
        with serving_team(Path(folder) / "team") as team:
            token = team["ada"].tokens["operate"]
            outcome = attack(
                team.server.url, Path(folder), phases=PHASES, seed=SEEDS[0], examples=EXAMPLES, token=token
            )
            print(outcome.output if outcome.findings else f"people: {outcome.requests} requests", flush=True)
            what = f"{outcome.operations} operations, {outcome.requests} requests"
            report("findings of schemathesis about people", len(outcome.findings), 0, "findings", what)
            with team.program("ada", "operate") as client:
                assert client.get("/api/people").status_code == 200
            log = team.server.log.read_text()
            report("defects in the log, people", log.count('"event": "defect"'), 0, "defects")
