"""Builds backups: what they copy, who signs them, what they give way to, and the check of how old the last one is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from services.app.build_nodes import claims_of
from services.audit.signing import HEAD_SUFFIX, PUBLIC_SUFFIX, SigningKey, TrustedKeys
from services.backup.backup_service import Backups
from services.backup.backup_types import BackupSource
from services.backup.sources import BackupDatabase, BackupOriginals, FileDatabase, FolderOriginals
from services.core.i18n import _
from services.core.requests import RequestKind
from services.core.settings import Settings
from services.operations.health import Check

if TYPE_CHECKING:
    from services.app.container import Platform

BACKUP = "backup"
read_key = TrustedKeys.of_pem


def build_backups(base: Platform, closing: ExitStack) -> Backups:
    """Return the backups; they begin with `start_worker`."""
    settings, requests = base.settings, base.requests

    def busy() -> bool:
        return any(sum(requests.counts(kind)) for kind in (RequestKind.ANSWER, RequestKind.SEARCH))

    backups = Backups(
        backup_source(settings),
        settings,
        SigningKey(settings.effective_audit_key),
        read_key,
        base.preferences,
        base.reporter,
        busy=busy,
        before=base.audit.log.sign_in_time,  # so that all of the audit log that a backup has is signed
        now=base.clock.time,
        claims=claims_of(base.nodes),
        node="" if base.nodes is None else base.nodes.membership.name,
    )
    closing.callback(backups.close)
    if backups.configured:

        def check() -> Check:
            status = backups.status()
            detail = status.warning or _("as planned")
            return Check(BACKUP, ok=True, detail=detail, warning=bool(status.warning))

        base.health.set_check(BACKUP, check)
    return backups


def backup_source(settings: Settings) -> BackupSource:
    """Return what is backed up, and where it is kept."""
    key = settings.effective_audit_key
    return BackupSource(
        folder=settings.data_dir,
        database=_database(settings),
        originals=_originals(settings),
        small=tuple((f"audit{end}", key.with_suffix(end)) for end in (HEAD_SUFFIX, PUBLIC_SUFFIX)),
    )


def _database(settings: Settings) -> BackupDatabase:
    scheme, found, path = settings.effective_database_url.partition("sqlite:///")
    if found and not scheme:
        return FileDatabase(Path(path.partition("?")[0]))
    from services.app.tables import import_tables
    from services.backup.server_database import ServerDatabase  # only a pond on PostgreSQL needs it

    import_tables()
    return ServerDatabase(settings.effective_database_url)


def _originals(settings: Settings) -> BackupOriginals:
    if settings.s3_location is None:
        return FolderOriginals(Path(settings.files_url or settings.data_dir / "files"))
    from services.app.bucket_originals import BucketOriginals  # with the client for S3, 10 MB

    return BucketOriginals(settings)
