"""Builds the audit log; what it records comes from the services by way of `EventReporter.audit`."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from services.audit.audit_log import SIGN_SECONDS, AuditLog
from services.audit.audit_trail import Audit
from services.core.actor import Actor, Role
from services.core.auditing import Way, current_origin
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.masking import mask

if TYPE_CHECKING:
    from services.core.database import Database
    from services.core.settings import Settings
    from services.memory.clock import Clock
    from services.memory.monitor import MemoryMonitor

log = structlog.get_logger(__name__)

RETENTION_SECONDS = 3600.0


def build_audit(settings: Settings, clock: Clock, database: Database, closing: ExitStack) -> Audit:
    """Return the audit log; `closing` signs what is not signed yet."""

    def stranger() -> Actor:
        origin = current_origin()
        if origin.way is Way.CLI:
            return Actor(_("command line"), Role.ADMIN)
        return Actor("local" if origin.way is Way.PAGE else "api", Role(settings.visitors))

    key = settings.effective_audit_key
    audit_log = AuditLog(database, key, clock.time, mask=mask, stranger=stranger)
    closing.callback(audit_log.close)
    return Audit(audit_log, key)


def watch_audit(audit: Audit, settings: Settings, memory: MemoryMonitor) -> None:
    """Sign each minute in which something was recorded, and remove what is older than the settings say."""

    def remove() -> None:
        if not settings.audit_days:
            return
        with suppress(MillpondError):  # the next signing says what is wrong with the key
            audit.log.remove_old(settings.audit_days)

    memory.add_task(audit.log.sign_in_time, SIGN_SECONDS, monitoring=False)
    memory.add_task(remove, RETENTION_SECONDS, monitoring=False)
