"""Connects commands to the services: over HTTP if a server holds the data folder, else in this process."""

from __future__ import annotations

from contextlib import AbstractContextManager

from console.cli.client import Client
from services.core.local_token import read_local_token
from services.core.settings import Settings
from services.operations.data_lock import DataLock, lock_conflict


def connect(settings: Settings) -> AbstractContextManager[Client]:
    """Return a client for the services.

    Raises:
        ConflictError: another command is at work on the data folder.
    """
    holder = DataLock(settings.data_dir).holder()
    if holder is None:
        from console.cli.local_client import LocalClient

        return LocalClient(settings)
    if not holder.url:
        raise lock_conflict(settings.data_dir, holder)
    from console.cli.remote_client import RemoteClient

    return RemoteClient(holder.url, holder.certificate, read_local_token(settings.data_dir))
