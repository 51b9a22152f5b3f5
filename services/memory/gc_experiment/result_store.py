"""The results on disk: JSON files, written atomically and bounded in number; the oldest are removed first."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from services.core.checked_text import with_checksum, without_checksum
from services.core.errors import NotFoundError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import make_folder, remove_unfinished, write_whole
from services.memory.gc_experiment.types import ExperimentResult

log = structlog.get_logger(__name__)

MAX_RESULTS = 20
_MAX_RESULT_BYTES = 4 * MEGABYTE
_ID = re.compile(r"[0-9a-f]{16}\Z")
_WORK = "work-"
_result_adapter = TypeAdapter(ExperimentResult)


class ResultStore:
    """A folder of results. Ids are generated here; no external text becomes part of a path unchecked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._results: dict[str, ExperimentResult] = {}
        self.damaged: list[str] = []  # those that could not be read at the start
        with suppress(OSError):
            self._load()

    def results(self) -> list[ExperimentResult]:
        """Return all results, newest first."""
        with self._lock:
            return sorted(self._results.values(), key=lambda result: result.began, reverse=True)

    def get(self, result_id: str) -> ExperimentResult:
        """Return a result.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self._lock:
            found = self._results.get(result_id)
        if found is None:
            raise NotFoundError(
                _("This experiment does not exist; it may have been removed for a newer one."),
                _("Choose another from the list."),
            )
        return found

    def add(self, result: ExperimentResult) -> None:
        """Store a result.

        Raises:
            StorageError: it could not be written.
        """
        try:
            make_folder(self._folder)
            write_whole(self._folder / f"{result.id}.json", with_checksum(_result_adapter.dump_json(result)))
        except OSError as error:
            raise StorageError(
                _("The experiment's result could not be written: {reason}.").format(reason=error.strerror),
                _("Free some space in the data folder."),
            ) from error
        with self._lock:
            self._results[result.id] = result
        for old in self.results()[MAX_RESULTS:]:
            with self._lock:
                del self._results[old.id]
            with suppress(OSError):
                (self._folder / f"{old.id}.json").unlink(missing_ok=True)

    def new_id(self) -> str:
        """Return a new id."""
        return secrets.token_hex(8)

    def work_folder(self) -> Path:
        """Return a new folder for a child; one left behind is removed at the next start.

        Raises:
            StorageError: it could not be created.
        """
        try:
            make_folder(self._folder)
            return Path(tempfile.mkdtemp(prefix=_WORK, dir=self._folder))
        except OSError as error:
            raise StorageError(
                _("A folder for the experiment could not be created: {reason}.").format(reason=error.strerror),
                _("Free some space in the data folder."),
            ) from error

    def _load(self) -> None:
        """Read the results; remove what a killed process has left behind."""
        if not self._folder.is_dir():
            return
        remove_unfinished(self._folder)
        for path in self._folder.iterdir():
            if path.name.startswith(_WORK):
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".partial":
                path.unlink(missing_ok=True)
            elif path.suffix == ".json" and _ID.match(path.stem):
                self._read(path)

    def _read(self, path: Path) -> None:
        try:
            if path.stat().st_size > _MAX_RESULT_BYTES:
                return
            result = _result_adapter.validate_json(without_checksum(path.read_bytes()))
        except (OSError, ValueError) as error:
            self.damaged.append(path.stem)
            log.warning("experiment unreadable", name=path.name, reason=type(error).__name__)
            return
        if result.id == path.stem:
            self._results[result.id] = result
