from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from services.core.machine import MEGABYTE
from tests.operations.listener import Listener
from tests.servers import ROOT, environment, eventually

SECONDS = 120.0


class Child:
    """A service in a child process, driven by commands."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.memory.budget.service", str(folder), *map(str, arguments)]
        self.log = folder.with_suffix(".log").open("w+")
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(log_format="json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def start(self) -> None:
        self.started = self._answer()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self) -> dict[str, Any]:
        line = self._lines.get(timeout=SECONDS)
        if not line:
            self.log.seek(0)
            raise AssertionError(f"the child ended:\n{self.log.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __call__(self, command: str, *arguments: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(command, *arguments, file=self._process.stdin, flush=True)
        return self._answer()

    def taken(self, kind: str = "taken") -> list[str]:
        return [each["step"] for each in self("status")["decisions"] if each["kind"] == kind]

    def close(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(SECONDS)
        finally:
            if self._process.poll() is None:
                psutil.Process(self._process.pid).kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self.log.close()


@contextmanager
def working(folder: Path, *arguments: object) -> Iterator[Child]:
    child = Child(folder, *arguments)
    code = -1
    try:
        child.start()
        yield child
    finally:
        code = child.close()
    assert code == 0


def test_a_service_stays_within_150_mb_above_its_floor(tmp_path: Path) -> None:
    """With documents in the queue and ballast that leaves them no room, it would be killed, or lose what was queued."""
    with closing(Listener()) as listener, working(tmp_path / "data", 150, "act", listener.url) as child:
        child("add", 6, 120)
        child("allocate", 120)
        eventually(lambda: child("status")["level"] == "HARD", seconds=SECONDS, what="the hard watermark")
        eventually(lambda: "refuse" in child.taken(), seconds=SECONDS, what="the refusals")
        actions = [step for step in child.taken() if step in {"collect", "slow_ingestion", "refuse"}]
        assert [*dict.fromkeys(actions)] == ["collect", "slow_ingestion", "refuse"]

        (refused,) = child("add", 1, 5)["refused"]
        assert "short of memory" in refused
        assert "short of memory" in child("ask", 3000)["refused"]
        assert not child("ask", 30)["refused"]
        under_pressure = child("status")
        assert under_pressure["peak"] <= under_pressure["limit"]
        assert under_pressure["pace"] > 0
        assert set(under_pressure["closed"]) == {"uploads", "long_questions"}
        metrics = child("metrics")
        assert metrics["millpond_budget_level"] == 3.0
        assert metrics['millpond_budget_step_active{step="refuse"}'] == 1.0
        assert metrics['millpond_door_closed{door="uploads"}'] == 1.0
        assert metrics['millpond_refused_total{door="uploads"}'] == 1.0
        assert metrics['millpond_budget_limit_bytes{source="configured"}'] == under_pressure["limit"]
        assert not [name for name, value in metrics.items() if name.startswith("millpond_part_unread") and value]
        # It would help, but nobody would start this process again.
        eventually(lambda: "restart" in child.taken("passed_over"), seconds=SECONDS, what="the last action")

        child("allocate", 0)
        eventually(lambda: not child("status")["active"], seconds=SECONDS, what="the recovery")
        undone = [step for step in child.taken("undone") if step in {"refuse", "slow_ingestion"}]
        assert undone[:2] == ["refuse", "slow_ingestion"]
        eventually(lambda: not child("status")["unfinished"], seconds=SECONDS, what="the end of the queue")
        after = child("status")
        assert (after["searchable"], after["failed"], after["closed"], after["pace"]) == (6, 0, [], 0.0)
        assert after["peak"] <= after["limit"]
        assert not child("add", 1, 3)["refused"]
        assert any(each["owners"] for each in after["decisions"] if each["step"] == "collect")

    # Alerts report levels and refusals while the service runs and as it ends.
    alerts = [alert for body in listener.bodies() for alert in body["alerts"]]
    kinds = [alert["kind"] for alert in alerts]
    assert kinds[0] == "level_up"
    assert [alert for alert in alerts if alert["kind"] == "level_up" and "Level hard" in alert["text"]]
    assert "level_down" in kinds
    assert "Refused for lack of memory" in next(alert["text"] for alert in alerts if alert["kind"] == "refusals")


def test_a_dry_run_lets_everything_in_and_a_low_limit_asks_for_no_restart(tmp_path: Path) -> None:
    """A dry run would refuse documents; a limit under the floor would be answered by one restart after the other."""
    with working(tmp_path / "data", 20, "dry-run") as child:
        child("allocate", 60)
        # The service sets the limit by the size that it has once it is ready: a later sample shows it.
        eventually(lambda: child("status")["limit"] == child.started["limit"], seconds=SECONDS, what="the limit")
        eventually(lambda: "refuse" in child("status")["active"], seconds=SECONDS, what="the decisions")
        status = child("status")
        assert all(each["dry"] for each in status["decisions"])
        assert (status["closed"], status["pace"]) == ([], 0.0)
        assert child("add", 1, 3)["refused"] == []
        eventually(lambda: child("status")["searchable"] == 1, seconds=SECONDS, what="the document")
        status = child("status")
        assert status["peak"] > status["limit"]
        assert "when it has just started" in child("restart")["reason"]
        assert child("status")["floor"] < child.started["ready"] + 10 * MEGABYTE
