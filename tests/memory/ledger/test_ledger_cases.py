from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.memory.ledger.ledger_cases.registry import GROUPS, cases_of
from tests.servers import ROOT, environment

# Of 100 MB; the same where a case is to leave nothing.
TOLERANCE = 5_000_000
CASES = [(group, function.__name__) for group in GROUPS for function in cases_of(group)]

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    """What fresh processes found, by case: two at a time."""

    def run(group: str) -> list[dict[str, Any]]:
        completed = subprocess.run(
            [sys.executable, "-m", "tests.memory.ledger.ledger_cases", group],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr[-3000:]
        return [json.loads(line) for line in completed.stdout.splitlines() if line.startswith("{")]

    with ThreadPoolExecutor(2) as pool:
        yield {line["case"]: line for lines in pool.map(run, GROUPS) for line in lines}


@pytest.mark.parametrize("name", [name for _group, name in CASES])
def test_planted_memory_is_found_under_its_owner(found: Found, name: str) -> None:
    """100 MB that show under another name than that of their owner, or not at all, would send people astray."""
    case = found[name]
    assert abs(case["found"] - case["bytes"]) <= TOLERANCE, case
    if case["owner"] != "unnamed":
        assert abs(case["unnamed"]) <= TOLERANCE, case
