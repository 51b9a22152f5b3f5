"""The record of one run, which a child passes to its parent as JSON: its verdicts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.memory.leaks.types import LeakKind, Suspect, SuspectKind, Verdict, VerdictState


@dataclass(frozen=True)
class Change:
    """The verdict changed its state or kind, `seconds` after the scenario began, on the service's clock."""

    seconds: float
    state: VerdictState
    kind: LeakKind | None


@dataclass(frozen=True)
class Record:
    """One run: the verdict that counts, the last one, how the state changed.

    `seconds` is when the first LEAK came, `watched` how long the run was, both on the service's clock; `rss` and
    `grown` are bytes.
    """

    name: str
    verdict: Verdict
    last: Verdict
    seconds: float | None = None
    watched: float = 0.0
    requests: int = 0
    rss: float = 0.0
    grown: float = 0.0
    changes: tuple[Change, ...] = field(default=())

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(file: Path) -> Record:
        values: dict[str, Any] = json.loads(file.read_text())
        values["verdict"] = _verdict(values["verdict"])
        values["last"] = _verdict(values["last"])
        values["changes"] = tuple(
            Change(change["seconds"], VerdictState(change["state"]), _kind(change["kind"]))
            for change in values["changes"]
        )
        return Record(**values)


def _kind(value: str | None) -> LeakKind | None:
    return LeakKind(value) if value else None


def _verdict(values: dict[str, Any]) -> Verdict:
    values = dict(values)
    values["state"] = VerdictState(values["state"])
    values["kind"] = _kind(values["kind"])
    values["evidence"] = tuple(values["evidence"])
    values["suspects"] = tuple(
        Suspect(**{**suspect, "kind": SuspectKind(suspect["kind"])}) for suspect in values["suspects"]
    )
    for name in ("interval", "per_request_interval"):
        values[name] = tuple(values[name]) if values[name] else None
    return Verdict(**values)
