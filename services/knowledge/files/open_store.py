"""Opens the store of originals that the settings name."""

from __future__ import annotations

from pathlib import Path

from services.core.settings import Settings
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.folder_store import FolderStore


def open_file_store(settings: Settings) -> FileStore:
    """Return the store of originals; an S3 server is asked nothing yet. Call `close` at the end.

    Raises:
        StorageError: the folder, or the one for what is used of S3, cannot be made.
        BadInputError: S3 is configured in a way that cannot be used.
    """
    location = settings.s3_location
    if location is None:
        if settings.files_url:
            return FolderStore(Path(settings.files_url), settings, shared=True)
        return FolderStore(settings.data_dir / "files", settings)
    from services.knowledge.files.s3_bucket import S3Bucket  # 10 MB
    from services.knowledge.files.s3_store import S3FileStore

    store = S3FileStore(S3Bucket(location, settings), settings)
    store.start()
    return store
