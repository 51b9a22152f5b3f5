"""`backup`, `verify` and `restore`: what they do, and what they say of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from console.cli.progress import shown_progress
from console.cli.terminal import printable, quiet_logs
from services.app.build_backups import backup_source, read_key
from services.app.pond_restore import restore_pond
from services.audit.signing import SigningKey, TrustedKeys
from services.backup.checking import BackupChecker
from services.backup.destination import Destination
from services.backup.making import DAMAGED, MISSING, make_backup, require_apart
from services.backup.manifest import ManifestHead
from services.backup.pacing import Pace
from services.backup.retention import RetentionRule
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _, plural, use_terminal_language
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.core.thread_priority import lower_priority
from services.operations.data_lock import DataLock


def backup(settings: Settings, path: Path | None) -> int:
    """Make a backup in this process, whether a server runs on the data folder or not; returns the exit code.

    Raises:
        BadInputError: no destination is named, or it cannot be one.
        NotFoundError: there is no database.
        MillpondError: it could not be made; backups from before are whole.
    """
    _prepare(settings)
    if path is None and not settings.backup_destination:
        raise BadInputError(_("No folder for the backup is named."), _("Name one, or set MILLPOND_BACKUP_DESTINATION."))
    path = path or Path(settings.backup_destination)
    source = backup_source(settings)
    if not source.database.exists():
        raise NotFoundError(
            _("There is no database in {path}.").format(path=settings.data_dir), _("Name the folder with --data-dir.")
        )
    if settings.s3_location is not None:
        from services.app.bucket_originals import with_stored_secret

        source = backup_source(with_stored_secret(settings))
    require_apart(settings.data_dir, path)
    began = time.monotonic()
    lower_priority()
    lock = DataLock(settings.data_dir)
    try:
        lock.acquire()
        alone = True
    except ConflictError:  # a server is at work: it goes on
        alone = False
    try:
        with Destination(path, create=True) as destination:
            made = make_backup(
                source,
                destination,
                SigningKey(settings.effective_audit_key),
                RetentionRule.of(settings),
                Pace(),
                now=time.time,
                alone=alone,
            )
    finally:
        lock.release()
    click.echo(
        _("Backup {name} made in {seconds:,.1f} s: {size:,.1f} MB, {copied:,.1f} MB of them new").format(
            name=made.head.name,
            seconds=time.monotonic() - began,
            size=made.head.size / MEGABYTE,
            copied=made.head.copied / MEGABYTE,
        )
    )
    _print_about(made.head)
    if made.removed:
        click.echo(plural("{count} old backup removed", "{count} old backups removed", len(made.removed)))
    return 0


def verify(settings: Settings, source: Path, name: str, public_keys: tuple[Path, ...]) -> int:
    """Verify backups and say what is wrong; returns the exit code: 1 if anything is.

    Raises:
        BadInputError: a public key cannot be used.
        NotFoundError: there is no such backup.
        StorageError: something cannot be read.
    """
    _prepare(settings)
    lower_priority()
    wrong = False
    with Destination(source) as destination:
        names = [name] if name else destination.generations()
        if not names:
            raise NotFoundError(_("There are no backups in {path}.").format(path=source))
        checker = BackupChecker(destination, read_key, Pace(), _trusted(public_keys))
        for each in names:
            found = checker.check(each)
            wrong = wrong or bool(found.problems)
            if found.problems:
                click.echo(
                    plural(
                        "Backup {name} is not whole: {count} problem.",
                        "Backup {name} is not whole: {count} problems.",
                        len(found.problems),
                        name=each,
                    )
                )
                for problem in found.problems:
                    click.echo(f"  {printable(problem)}")
            elif found.head is not None:
                click.echo(_("Backup {name} is whole.").format(name=each))
                _print_about(found.head)
                click.echo("  " + _("Key: {fingerprint}").format(fingerprint=found.head.key))
    return int(wrong)


def restore(settings: Settings, source: Path, name: str, public_keys: tuple[Path, ...]) -> int:
    """Restore a backup into the data folder, which must be empty, and into the database and place of originals of the
    settings; say what is there now, and return the exit code.

    Raises:
        MillpondError: as `services.app.pond_restore.restore_pond`; the folder is empty again.
    """
    _prepare(settings)
    with Destination(source) as destination, shown_progress() as progress:
        head = restore_pond(settings, destination, progress, name=name, trusted=_trusted(public_keys))
    click.echo(_("Backup {name} restored into {path}.").format(name=head.name, path=settings.data_dir))
    if head.engine != (engine := backup_source(settings).database.engine):
        click.echo("  " + _("The database was in {before} and is in {now}.").format(before=head.engine, now=engine))
    _print_about(head)
    click.echo(
        _("Keys are not in a backup: put secret.key and audit.key of the old folder there before you start Millpond.")
    )
    return 0


def _prepare(settings: Settings) -> None:
    use_terminal_language(settings.language)
    quiet_logs(settings)


def _trusted(public_keys: tuple[Path, ...]) -> TrustedKeys | None:
    return TrustedKeys.read(list(public_keys)) if public_keys else None


def _print_about(head: ManifestHead) -> None:
    counts = head.counts
    moment = datetime.fromtimestamp(head.made_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    click.echo("  " + _("State of {moment}, schema {schema}").format(moment=moment, schema=printable(head.schema)))
    text = _(
        "Documents: {documents}, revisions: {revisions}, chunks: {chunks}, conversations: {conversations}, "
        "people: {people}"
    )
    shown = ("documents", "revisions", "chunks", "conversations", "people")
    click.echo("  " + text.format(**{each: f"{counts.get(each, 0):,}" for each in shown}))
    for kind, text in ((DAMAGED, _("Damaged, not in the backup: {path}")), (MISSING, _("Missing: {path}"))):
        for path in head.left_out.get(kind, ()):
            click.echo("  " + text.format(path=printable(path)))
