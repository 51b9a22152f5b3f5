"""A real service with a small budget, driven by lines of commands: `-m tests.memory.budget.service FOLDER MB`.

The limit is MB above the RSS when ready. Each command is answered by one line of JSON.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import structlog

from services.app.startup import Application
from services.core.actor import SERVICE
from services.core.errors import MillpondError
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.memory.budget.types import BudgetLevel
from services.memory.process import rss_bytes


class DrivenService:
    """The service, its ballast, and the highest RSS seen."""

    def __init__(self, folder: Path, headroom_mb: int, mode: str, webhook: str) -> None:
        self.application = Application(
            Settings(
                data_dir=folder,
                memory_limit_mb=64_000,
                budget=mode,  # type: ignore[arg-type] - given by the test
                budget_hard=0.86,  # a small process: what is embedded takes 30 MB for a moment
                budget_sustained_seconds=0.5,
                budget_cool_down_seconds=5.0,
                budget_restart_after_seconds=1.0,
                webhook_url=webhook,
            )
        )
        self.headroom = headroom_mb
        self.ballast: list[bytes] = []
        self.peak = 0
        self.stopping = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> dict[str, Any]:
        self.services = self.application.start()
        limit = self.services.memory.limit
        limit._configured = rss_bytes() + self.headroom * MEGABYTE
        limit._expires = 0.0
        self.watcher.start()
        return {"ready": rss_bytes(), "limit": limit.current()[0]}

    def _watch(self) -> None:
        while not self.stopping.wait(0.01):
            self.peak = max(self.peak, rss_bytes())

    def add(self, count: int, words: int) -> dict[str, Any]:
        """Hand documents in; return what was refused."""
        refused: list[str] = []
        for number in range(count):
            text = "\n\n".join(f"Document {number} says {word} of {number * word}." for word in range(words))
            try:
                self.services.library.add(SERVICE, io.BytesIO(text.encode()), f"{number}-{words}.txt")
            except MillpondError as error:
                refused.append(error.message)
        return {"refused": refused}

    def allocate(self, mb: int) -> dict[str, Any]:
        """Hold so many MB of ballast, all of it resident."""
        self.ballast = [b"x" * MEGABYTE for _number in range(mb)]
        return {"rss": rss_bytes()}

    def status(self) -> dict[str, Any]:
        """Return the state of the budget and the service."""
        governor, services = self.services.governor, self.services
        state = governor.state()
        counts = services.library.counts(SERVICE)
        return {
            "level": state.level.name,
            "active": state.active,
            "rss": state.rss_bytes,
            "peak": self.peak,
            "floor": state.ready_rss_bytes,
            "limit": state.budget.limit,
            "hard": state.budget.reached_bytes(BudgetLevel.HARD),
            "reserved": state.reserved_bytes,
            "unfinished": services.ingestion.job_store.unfinished(),
            "failed": counts.jobs_failed,
            "searchable": counts.searchable,
            "paused": services.ingestion.pause_reason,
            "closed": [door.value for door in services.admission.closed()],
            "pace": services.admission.pause_seconds,
            "decisions": [
                {
                    "kind": each.kind.value,
                    "step": each.step,
                    "level": each.level.name,
                    "dry": each.dry_run,
                    "outcome": each.outcome,
                    "evidence": each.evidence,
                    "owners": bool(each.owners_before),
                }
                for each in reversed(governor.decisions(500))
            ],
        }

    def ask(self, characters: int) -> dict[str, Any]:
        """Check a question of so many characters."""
        try:
            self.services.admission.check_question(characters)
        except MillpondError as error:
            return {"refused": str(error)}
        return {"refused": ""}

    def restart(self) -> dict[str, Any]:
        """Return why a restart would be skipped."""
        (action,) = [action for action in self.services.governor.actions() if action.name == "restart"]
        return {"reason": action.skip_reason()}

    def metrics(self) -> dict[str, Any]:
        """Return the metrics by name and labels."""
        text = self.services.metrics.render()[0].decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("millpond_")]
        return {name: float(value) for name, _space, value in lines}

    def undo(self) -> dict[str, Any]:
        """Undo all actions by hand."""
        return {"undone": [each.step for each in self.services.governor.undo_all(SERVICE)]}


def main(folder: str, headroom_mb: str, mode: str = "act", webhook: str = "") -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    service = DrivenService(Path(folder), int(headroom_mb), mode, webhook)
    try:
        print(json.dumps(service.start()), flush=True)
        for line in sys.stdin:
            name, *arguments = line.split()
            print(json.dumps(getattr(service, name)(*map(int, arguments))), flush=True)
    finally:
        service.stopping.set()
        service.application.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
