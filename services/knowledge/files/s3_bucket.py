"""A part of a bucket on an S3 server, by obstore: objects of any size, streamed, with time limits.

obstore and its runtime take 10 MB; they are imported here alone, and this module only where S3 is configured.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from services.core.errors import MillpondError, StorageError
from services.core.i18n import _
from services.core.known_secrets import register_secret
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.core.storage_settings import S3Location
from services.knowledge.files.s3_outage import Outage, OutageCause, unavailable

if TYPE_CHECKING:
    from obstore.store import S3Config

PART_BYTES = 5 * MEGABYTE  # the least that S3 takes
_PARTS_AT_ONCE = 2
_CONNECT_SECONDS = 3.0
_WHOLE_SECONDS = 3600.0  # for one object, as long as something arrives
_RETRIES = 2
_NAMES_A_PAGE = 1000
_PROBE, _CONTENT = "probe", b"millpond"  # some bytes: a server may keep empty objects elsewhere
_NO_BUCKET = "NoSuchBucket"
_PASSING = frozenset({408, 429})  # too slow, too many

log = structlog.get_logger(__name__)


class S3Bucket:
    """The objects of a bucket below a prefix, by their keys. Thread-safe.

    Every method raises FilesUnavailableError where the server does not answer or refuses; FileNotFoundError for an
    object that is not there.
    """

    def __init__(self, location: S3Location, settings: Settings) -> None:
        self.outage = Outage()
        register_secret(os.environ.get("AWS_SECRET_ACCESS_KEY", ""))  # of obstore's own settings
        silent = timedelta(seconds=settings.files_seconds)
        self._store = S3Store(
            location.bucket,
            prefix=location.prefix or None,
            config=_config(location, settings),
            client_options={
                "allow_http": location.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, settings.files_seconds)),
                "read_timeout": silent,
                "timeout": timedelta(seconds=_WHOLE_SECONDS),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": silent},
        )

    def put(self, key: str, path: Path) -> None:
        """Store a file as an object, in parts where it is large; it is there whole or not at all."""
        with self._answers():
            self._store.put(key, path, chunk_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def put_first(self, key: str, content: bytes) -> None:
        """Store a small object, unless there is one of this key."""
        with self._answers():
            try:
                self._store.put(key, content, mode="create")
            except AlreadyExistsError:
                return

    def get(self, key: str, write: Callable[[bytes], Any]) -> None:
        """Give an object to `write`, piece by piece."""
        for piece in self.pieces(key):
            write(piece)

    def pieces(self, key: str) -> Iterator[bytes]:
        """Yield an object piece by piece."""
        with self._answers(reads=True):
            for piece in self._store.get(key).stream(min_chunk_size=MEGABYTE):
                yield bytes(piece)

    def get_some(self, key: str, offset: int, most: int) -> bytes:
        """Return a part of an object, empty where it is not that long."""
        with self._answers(reads=True):
            if offset and self._store.head(key)["size"] <= offset:
                return b""
            return bytes(self._store.get(key, options={"range": (offset, offset + most)}).bytes())

    def exists(self, key: str) -> bool:
        """Return whether there is an object of this key."""
        try:
            with self._answers(reads=True):
                self._store.head(key)
        except FileNotFoundError:
            return False
        return True

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects; missing ones are no error."""
        with self._answers():
            self._store.delete(list(keys))

    def pages(self) -> Iterator[list[tuple[str, float]]]:
        """Yield the keys of all objects with when they were stored (by the server's clock, in seconds since 1970)."""
        pages = iter(self._store.list(chunk_size=_NAMES_A_PAGE))
        while True:
            with self._answers():
                page = next(pages, None)
            if page is None:
                return
            yield [(each["path"], each["last_modified"].timestamp()) for each in page]

    def is_empty(self) -> bool:
        """Return whether there is nothing below the prefix; what was stored to ask the server does not count."""
        return not any(key != _PROBE for page in self.pages() for key, _stored_at in page)

    def now(self) -> float:
        """Return the time by the server's clock, in seconds since 1970: a small object is stored for that."""
        with self._answers():
            return self._store_and_read()

    def probe(self) -> None:
        """Store and read a small object, whatever is known; end the outage if that succeeds."""
        try:
            self._store_and_read()
        except (BaseError, FileNotFoundError) as error:
            self.outage.begin(_cause(str(error)), str(error))
        else:
            self.outage.end()

    @contextmanager
    def _answers(self, *, reads: bool = False) -> Iterator[None]:
        """Turn failures of the server into errors that say what it means, and remember them.

        An object that is not there is none where one `reads`; elsewhere it is the bucket that is not there.
        """
        self.outage.require_none()
        try:
            yield
        except FileNotFoundError as error:
            if reads and _NO_BUCKET not in str(error):
                raise
            raise self._failed(OutageCause.NO_BUCKET, str(error)) from error
        except BaseError as error:
            raise self._refused(str(error)) from error

    def _refused(self, details: str) -> MillpondError:
        """Return the error for what the server, or the way to it, has said."""
        status = _status(details)
        if 400 <= status < 500 and status not in _PASSING:
            with suppress(BaseError, FileNotFoundError):
                self._store_and_read()
                log.warning("S3 refuses an object", details=details[:500])
                return StorageError(
                    _("The server of the original files (S3) refuses this file; what was stored before is kept."),
                    _("The log has what the server said."),
                )
        return self._failed(_cause(details), details)

    def _failed(self, cause: OutageCause, details: str) -> MillpondError:
        self.outage.begin(cause, details)
        return unavailable(cause)

    def _store_and_read(self) -> float:
        """Store and read a small object; return when it was stored, by the server's clock."""
        self._store.put(_PROBE, _CONTENT)
        return self._store.head(_PROBE)["last_modified"].timestamp()


def _status(details: str) -> int:
    """Return the HTTP status in the text of an error, 0 for none: obstore has it nowhere else."""
    found = re.search(r"non-2xx status code: (\d{3})", details)
    return int(found[1]) if found else 0


def _cause(details: str) -> OutageCause:
    """Return what the text of an error means for all objects."""
    status = _status(details)
    if _NO_BUCKET in details or status == 404:
        return OutageCause.NO_BUCKET
    if status in {401, 403}:
        return OutageCause.REFUSES
    return OutageCause.FAILS if status or "redirect" in details else OutageCause.SILENT


def _config(location: S3Location, settings: Settings) -> S3Config:
    """Return what is configured; what is not comes from the environment."""
    given = {
        "region": location.region,
        "endpoint": location.endpoint,
        "access_key_id": settings.files_access_key,
        "secret_access_key": settings.files_secret_key.get_secret_value(),
    }
    config: Any = {name: value for name, value in given.items() if value}
    return config  # type: ignore[no-any-return]
