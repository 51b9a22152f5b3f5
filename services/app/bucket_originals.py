"""Originals in a bucket of an S3 server, as a backup reads them and a restore puts them back.

A backup has a client of its own: what goes wrong with it does not keep others from the originals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from services.backup.sources import GoneError
from services.core.database import Database
from services.core.database.reader import DatabaseReader
from services.core.errors import ConflictError, MillpondError
from services.core.i18n import _
from services.core.preferences import Preferences
from services.core.private_files import create_file
from services.core.secret_box import SecretBox
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.core.stored_settings import with_stored
from services.knowledge.files.s3_bucket import S3Bucket
from services.knowledge.files.stored_file import place

_NAMES_AT_ONCE = 500


class BucketOriginals:
    """Reads originals from the bucket that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket: S3Bucket | None = None

    def content(self, stored: str) -> Iterator[bytes]:
        if self._bucket is None or self._bucket.outage.reason():
            self._bucket = _bucket_of(self._settings)  # the last attempt ended with an outage: it is asked anew
        try:
            yield from self._bucket.pieces(place(stored))
        except FileNotFoundError as error:
            raise GoneError from error


class BucketTarget:
    """Puts originals into the bucket that the settings name, which has nothing below its prefix."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = _bucket_of(settings)
        self._url = settings.files_url.partition("?")[0]
        self._folder = settings.data_dir
        self._put: list[str] = []

    def require_empty(self) -> None:
        if not self._bucket.is_empty():
            raise ConflictError(
                _("{place} has objects already; nothing was restored.").format(place=self._url),
                _("Name an empty bucket or another prefix with MILLPOND_FILES_URL."),
            )

    def put(self, stored: str, content: Iterator[bytes]) -> None:
        # On the local disk first: it is not known before its end whether it is whole.
        path = self._folder / "original.restoring"
        try:
            with create_file(path) as file:
                for block in content:
                    file.write(block)
            self._put.append(place(stored))
            self._bucket.put(place(stored), path)
        finally:
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Nothing: each is durable once the server has it."""

    def undo(self) -> None:
        for first in range(0, len(self._put), _NAMES_AT_ONCE):
            with suppress(MillpondError):  # it is said why nothing was restored
                self._bucket.delete(self._put[first : first + _NAMES_AT_ONCE])


def with_stored_secret(settings: Settings) -> Settings:
    """Return the settings with what is stored of them in the database, for a command that opens no pond."""
    reader = cast("Database", DatabaseReader(settings.effective_database_url))  # nothing is written
    return with_stored(settings, SecretStore(Preferences(reader), SecretBox.of(settings)))


def _bucket_of(settings: Settings) -> S3Bucket:
    location = settings.s3_location
    assert location is not None  # noqa: S101 - asked for where it is
    return S3Bucket(location, settings)
