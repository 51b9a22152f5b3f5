"""Memory refused to the process: starts under limits of the address space (`ulimit -v`) from 200 MB to 3 GB.

Each one is ready and answers, or ends with a sentence that names the limit: no signal, no traceback.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import ROOT, environment
from tests.siege.report import Report

STEPS_MB = (*range(200, 1700, 300), *range(1700, 2200, 50), 2400, 2700, 3000)
READY_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a start under a limit ended: ready and answering, or with an exit code, and what was printed."""

    limit_mb: int
    answered: bool
    code: int
    output: str
    seconds: float

    @property
    def spoken(self) -> bool:
        """Whether it ended as a refused start does: with a sentence about memory."""
        return self.code == 1 and "Millpond cannot start" in self.output

    def wrong(self) -> str:
        if "Traceback" in self.output:
            return f"{self.limit_mb} MB: traceback: {self.output[-1500:]}"
        if self.answered and self.code == 0:
            return ""
        return "" if self.spoken else f"{self.limit_mb} MB: exit code {self.code}: {self.output[-1500:]}"


def start_under(limit_mb: int, folder: Path) -> Outcome:
    """Start a real server under a limit; if it becomes ready, have it read a document and answer, then stop it."""
    command = f"ulimit -v {limit_mb * 1024}; exec {sys.executable} -m console serve --port 0 --data-dir {folder}"
    began = time.monotonic()
    log = folder.with_name("output")
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment(log_format="json", budget="off") | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        )
    url = ""
    while process.poll() is None and time.monotonic() - began < READY_SECONDS:
        if "ready at " in (text := log.read_text()):
            url = text.rpartition("ready at ")[2].split()[0]
            break
        time.sleep(0.05)
    seconds = time.monotonic() - began
    answered = bool(url) and _answers(url)
    if url or process.poll() is None:
        process.terminate()
    try:
        code = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return Outcome(limit_mb, answered, code, log.read_text(), seconds)


def _answers(url: str) -> bool:
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client:
        text = b"The sluice gate is inspected every fourteen weeks. " * 200
        document = client.post("/api/documents", files={"file": ("mill.txt", text)}).json()["documents"][0]["id"]
        deadline = time.monotonic() + 60
        while client.get(f"/api/documents/{document}").json()["status"] not in {"ready", "failed"}:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        found = client.post("/api/search", json={"query": "How often is the gate inspected?"})
        return found.status_code == 200 and bool(found.json()["hits"])


def run(report: Report) -> None:
    wrong: list[str] = []
    answered: list[int] = []
    refused: list[int] = []
    slowest = 0.0
    for limit in STEPS_MB:
        with tempfile.TemporaryDirectory() as name:
            outcome = start_under(limit, Path(name) / "data")
        if fault := outcome.wrong():
            wrong.append(fault)
            print("   ", fault, flush=True)
        elif outcome.answered:
            answered.append(limit)
        else:
            refused.append(limit)
            slowest = max(slowest, outcome.seconds)
    detail = f"{len(refused)} refused up to {max(refused, default=0)} MB, {len(answered)} answered"
    report("starts under a limit of memory that end without words", len(wrong), 0, "", detail)
    report("slowest refusal", round(slowest, 1), 10, "s")
