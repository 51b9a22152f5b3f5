"""Requests that schemathesis generates from the live OpenAPI document, with all of its checks.

It runs as the command that it is, in a process of its own, over every operation of a running server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Each request to these takes seconds: it forks a copy of the process and measures there.
HEAVY = "^/api/(objects/(objects|paths|summary|sizes/|census$)|tracing/(cost|snapshots$))"
# What the first account closes, a server without one leaves open: no other request would pass after it.
FIRST_ACCOUNT = "POST /api/people"
ACCOUNTS = "^/api/(people|account|groups|collections/[^/]+/grants)"  # what an administrator does about people
# Who attacks would be thrown out: it is tested in tests/api/test_revocation.py.
_LOCKS_OUT = (
    *("PATCH /api/people/{person_id}", "DELETE /api/people/{person_id}"),
    *("DELETE /api/people/{person_id}/tokens/{token_id}", "DELETE /api/account/tokens/{token_id}"),
)
_ENVIRONMENT = {
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "SCHEMATHESIS_HOOKS": "tests.siege.true_patterns",
}
_COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"


@dataclass(frozen=True)
class Outcome:
    """How many requests were sent to how many operations, and what was found, in words."""

    requests: int
    operations: int
    findings: list[str]
    output: str


def attack(
    url: str, folder: Path, *, phases: str, seed: int, examples: int, heavy: bool = False, token: str = ""
) -> Outcome:
    """Send generated requests to the server at `url`: to what answers at once, or to the `heavy` operations.

    With an administrator's `token`: to what concerns people, on a server with accounts.
    """
    report = folder / f"requests-{seed}{'-heavy' if heavy else ''}{'-people' if token else ''}.json"
    chosen = ["--include-path-regex" if heavy else "--exclude-path-regex", HEAVY, "--exclude-name", FIRST_ACCOUNT]
    if token:
        chosen = ["--include-path-regex", ACCOUNTS, "--header", f"Authorization: Bearer {token}"]
        chosen += [word for name in _LOCKS_OUT for word in ("--exclude-name", name)]
    done = subprocess.run(
        [
            *(sys.executable, "-c", _COMMAND, "--config-file", str(CONFIG), "run", f"{url}/openapi.json"),
            *("--checks", "all", "--phases", phases, "--max-examples", str(examples), "--seed", str(seed)),
            *("--continue-on-failure", "--no-shrink", "--no-color", "--generation-database", "none"),
            *("--report", "json", "--report-json-path", str(report), *chosen),
        ],
        cwd=folder,
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    return _outcome(json.loads(report.read_text()), done.stdout + done.stderr)


def _outcome(report: dict[str, Any], output: str) -> Outcome:
    findings = [
        f"{failure['title']} ({failure['count']}): {', '.join(failure['operations'])}" for failure in report["failures"]
    ]
    findings += [f"{error['title']} ({error['count']})" for error in report["errors"]]
    if not report["complete"]:
        findings.append(f"stopped early: {report['stop_reason']}")
    return Outcome(report["test_cases"]["generated"], report["operations"]["tested"], findings, output)
