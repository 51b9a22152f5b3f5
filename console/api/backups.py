"""Backups over HTTP: where they are, making one, verifying the newest."""

from __future__ import annotations

from fastapi import APIRouter

from console.api.context import Caller, Context
from console.api.permissions import needs
from console.api.translated import TranslatedRoute
from services.backup.backup_types import BackupStatus
from services.core.actor import Permission

router = APIRouter(route_class=TranslatedRoute, prefix="/api/backups", tags=["backups"])


@router.get("", dependencies=needs(Permission.OPERATE), summary="Backups that are there")
async def backups(context: Context) -> BackupStatus:
    """Return the backups, the newest first, and what is done at present.

    `stage` says it in a word: `idle`, `files`, `database`, `tidying`, `verifying`. `warning` says what is wrong: the
    last one failed, or is older than twice the time between two. Times in seconds since 1970, sizes in bytes.
    """
    return await context.threads.call(context.services.backups.status)


@router.post("", status_code=202, dependencies=needs(Permission.CONFIGURE), summary="Make a backup")
async def make(context: Context, actor: Caller) -> BackupStatus:
    """Begin a backup into the folder of the settings; questions go before it. `GET /api/backups` says how far it is."""
    return await context.threads.call(context.services.backups.start_backup, actor)


@router.post(
    "/verification", status_code=202, dependencies=needs(Permission.CONFIGURE), summary="Verify the newest backup"
)
async def verify(context: Context, actor: Caller) -> BackupStatus:
    """Begin to read all of the newest backup; what was found is its `verified_at` and `problems` afterwards."""
    return await context.threads.call(context.services.backups.start_verification, actor)
