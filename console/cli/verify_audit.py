"""`audit verify`: says whether the audit log is whole, and in words what is wrong and where."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from console.cli.terminal import quiet_logs
from services.audit.signing import LastHead, TrustedKeys
from services.audit.store import AuditStore
from services.audit.verification import Verification, verify
from services.core.database.reader import DatabaseReader
from services.core.errors import NotFoundError
from services.core.i18n import _, plural, use_terminal_language
from services.core.settings import DATABASE_FILE, Settings


def verify_audit(settings: Settings, public_keys: tuple[Path, ...]) -> int:
    """Verify the log of a data folder, whether a server runs on it or not; returns the exit code.

    Raises:
        BadInputError: a public key cannot be used.
        NotFoundError: there is no database.
        StorageError: it cannot be read.
    """
    use_terminal_language(settings.language)
    quiet_logs(settings)
    if not settings.database_url and not (settings.data_dir / DATABASE_FILE).exists():
        raise NotFoundError(
            _("There is no database in {path}.").format(path=settings.data_dir), _("Name the folder with --data-dir.")
        )
    key = settings.effective_audit_key
    keys = TrustedKeys.read(list(public_keys)) if public_keys else TrustedKeys.beside(key)
    store = AuditStore(DatabaseReader(settings.effective_database_url))
    last_head = LastHead(key)
    if not store.has_tables():
        click.echo(_("The database has no audit log: it was written by a version that had none."))
        if last_head.path.exists():
            click.echo(_("But {path} says that there was one: it was removed.").format(path=last_head.path))
            return 1
        return 0
    found = verify(store, keys, last_head)
    for line in verification_lines(found, time.time()):
        click.echo(line)
    return 0 if found.whole else 1


def verification_lines(found: Verification, now: float) -> list[str]:
    """Return what a verification found in words."""
    if not found.whole:
        lines = [
            plural(
                "The audit log is not whole: {count} problem.",
                "The audit log is not whole: {count} problems.",
                len(found.problems) + found.more,
            )
        ]
        lines += [f"  {problem.message}" for problem in found.problems]
        if found.more:
            lines.append(plural("  and {count} more", "  and {count} more", found.more))
    elif found.records:
        lines = [
            plural(
                "The chain of {count} record is whole ({first} to {last}).",
                "The chain of {count} records is whole ({first} to {last}).",
                found.records,
                first=str(found.first),
                last=str(found.last),
            )
        ]
    else:
        lines = [_("The audit log has no records.")]
    if found.removed:
        lines.append(
            _("Records up to {number} were removed by retention, as a signed statement says.").format(
                number=found.removed
            )
        )
    if found.signed_at is not None:
        moment = datetime.fromtimestamp(found.signed_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(
            _("Last signed: record {number}, {moment}, {seconds:,.0f} s ago.").format(
                number=found.signed, moment=moment, seconds=max(0.0, now - found.signed_at)
            )
        )
    if found.unsigned:
        lines.append(
            plural(
                "{count} record after it is not signed yet: its removal would not show.",
                "{count} records after it are not signed yet: their removal would not show.",
                found.unsigned,
            )
        )
    lines += [_("Key: {fingerprint}").format(fingerprint=each) for each in found.keys]
    return lines
