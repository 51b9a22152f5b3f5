"""The audit as others use it: recording, and for auditors reading, exporting and verifying."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

from services.audit.audit_log import AuditLog, AuditState
from services.audit.chain import AuditRecord
from services.audit.exported_record import EXPORTED, exported
from services.audit.signing import LastHead, TrustedKeys
from services.audit.store import AuditFilters
from services.audit.verification import Verification, verify
from services.core.actor import Actor, Permission
from services.core.auditing import NOTHING, Action, AuditOutcome, Target, TargetKind
from services.core.i18n import _

_ROWS = 500  # that are sent at once
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets would compute a cell that begins so


class ExportFormat(StrEnum):
    """How an export is written: an object a line, or a table with a header."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class VerifiedAudit:
    """What a verification found, and when it was made, in seconds since 1970."""

    time: float
    result: Verification


class Audit:
    """Who did what. `record` is for every service; reading needs the permission of an auditor. Thread-safe."""

    def __init__(self, log: AuditLog, key: Path, now: Callable[[], float] = time.time) -> None:
        self.log = log
        self._key = key
        self._now = now
        self._verified: VerifiedAudit | None = None

    def record(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Record that `actor` (None: whoever called) did something; see `services.core.auditing.AuditSink`."""
        self.log.record(actor, action, target, outcome, detail)

    def page(self, actor: Actor, filters: AuditFilters, before: int | None, limit: int) -> list[AuditRecord]:
        """Return the newest `limit` records that match, of those before number `before`, newest first.

        Raises:
            ForbiddenError: `actor` may not read the audit log.
        """
        actor.require(Permission.AUDIT, _("Read the audit log"))
        return self.log.store.page(filters, before, limit)

    def count(self, actor: Actor, filters: AuditFilters) -> int:
        """Return how many records match; errors as for `page`."""
        actor.require(Permission.AUDIT, _("Read the audit log"))
        return self.log.store.count(filters)

    def state(self, actor: Actor) -> AuditState:
        """Return how far the log is recorded and signed; errors as for `page`."""
        actor.require(Permission.AUDIT, _("Read the audit log"))
        return self.log.state()

    def export(self, actor: Actor, filters: AuditFilters, form: ExportFormat) -> Iterator[bytes]:
        """Return the records that match in portions of a file, oldest first; the export is recorded before it begins.

        Raises:
            ForbiddenError: `actor` may not read the audit log.
        """
        actor.require(Permission.AUDIT, _("Export the audit log"))
        last = self.log.store.state().position.seq  # the export itself is not in it
        self.record(actor, Action.EXPORT, Target(TargetKind.AUDIT), detail=f"{form.value} 1-{last}")
        found = (record for record in self.log.store.records(filters) if record.seq <= last)
        return _written(found, form)

    def verify(self, actor: Actor) -> Verification:
        """Return what is wrong with the log; reads all of it. Errors as for `page`."""
        actor.require(Permission.AUDIT, _("Verify the audit log"))
        found = verify(self.log.store, TrustedKeys.beside(self._key), LastHead(self._key))
        self._verified = VerifiedAudit(self._now(), found)
        return found

    def verified(self, actor: Actor) -> VerifiedAudit | None:
        """Return what the last verification in this process found, None before the first. Errors as for `page`."""
        actor.require(Permission.AUDIT, _("Verify the audit log"))
        return self._verified


def _written(records: Iterator[AuditRecord], form: ExportFormat) -> Iterator[bytes]:
    if form is ExportFormat.CSV:
        yield _csv([list(EXPORTED)])
    while portion := list(islice(records, _ROWS)):
        if form is ExportFormat.CSV:
            yield _csv([[_cell(value) for value in exported(record).values()] for record in portion])
        else:
            yield "".join(json.dumps(exported(record), ensure_ascii=False) + "\n" for record in portion).encode()


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
