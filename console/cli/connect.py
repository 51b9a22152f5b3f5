"""Which way the commands take to the services."""

from __future__ import annotations

from contextlib import AbstractContextManager

from console.cli.client import Client
from services.core.settings import Settings
from services.operations.data_lock import DataLock, conflict


def open_desk(settings: Settings) -> AbstractContextManager[Client]:
    """Return the way to the services: over HTTP if a server holds the data folder, else in this process.

    Raises:
        ConflictError: another command line is at work on the data folder.
    """
    owner = DataLock(settings.data_dir).owner()
    if owner is None:
        from console.cli.local_client import LocalClient

        return LocalClient(settings)
    if not owner.url:
        raise conflict(settings.data_dir, owner)
    from console.cli.remote_client import RemoteClient

    return RemoteClient(owner.url)
