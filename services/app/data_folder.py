"""The data folder: made where it is missing, and held by this process alone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from services.core.errors import StorageError
from services.core.i18n import _
from services.core.private_files import make_folder, mend, remove_unfinished
from services.core.settings import Settings
from services.operations.data_lock import DataLock


def lock_folder(settings: Settings, url: str, patience: float, closing: ExitStack) -> None:
    """Create the data folder where it is missing, and keep other processes out of it."""
    folder = settings.data_dir
    try:
        make_folder(folder)
    except OSError as error:
        raise StorageError(
            _("The data folder {path} cannot be created: {reason}.").format(path=folder, reason=error.strerror),
            _("Choose another with --data-dir or MILLPOND_DATA_DIR."),
        ) from error
    lock = DataLock(folder)
    certificate = str(Path(settings.tls_cert).absolute()) if url and settings.tls_cert else ""
    lock.acquire(url, certificate=certificate, patience=patience)
    closing.callback(lock.release)
    remove_unfinished(folder)
    mend(folder)
