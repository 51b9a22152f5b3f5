"""The snapshots on disk: written whole or not at all, bounded in number and bytes, the oldest go first."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path

from services.core.errors import BadInputError, NotFoundError, StorageError
from services.core.i18n import _
from services.memory.tracing.snapshot_file import Traces, read
from services.memory.tracing.types import SnapshotInfo

KEPT = 30
AUTOMATIC_KEPT = 24
KEPT_BYTES = 256 * 1024 * 1024
LONGEST_NAME = 80
LONGEST_NOTE = 1000

_ID = re.compile(r"[0-9a-f]{16}\Z")
_PARTIAL = ".partial"
_DATA = ".npz"
_INFO = ".json"  # written last: a snapshot without it is not there


class SnapshotStore:
    """A folder of snapshots. Ids are made here; nothing from outside ever becomes part of a path unchecked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, SnapshotInfo] = {}
        with suppress(OSError):
            self._sweep()

    def snapshots(self) -> list[SnapshotInfo]:
        """Return all, newest first."""
        with self._lock:
            return sorted(self._known.values(), key=lambda info: (info.time, info.id), reverse=True)

    def get(self, snapshot_id: str) -> SnapshotInfo:
        """Return one; NotFoundError when it is not there."""
        with self._lock:
            found = self._known.get(snapshot_id)
        if found is None:
            raise NotFoundError(
                _("This snapshot is not here; it was deleted or made room for a newer one."),
                _("Choose another from the list."),
            )
        return found

    def path(self, snapshot_id: str) -> Path:
        """Return the file with the traces of a snapshot that is there."""
        return self._path(self.get(snapshot_id).id, _DATA)

    def traces(self, snapshot_id: str) -> Traces:
        """Read one; DamagedError or StorageError when that is not possible."""
        return read(self.path(snapshot_id))

    def add(self, write: Callable[[Path], SnapshotInfo]) -> SnapshotInfo:
        """Have `write` fill a new file and say what is in it; put that on the shelf under an id of its own.

        Whatever happens in between, nothing half stays. StorageError when the disk refuses.
        """
        name = secrets.token_hex(8)
        partial = self._path(name, _DATA + _PARTIAL)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            info = replace(write(partial), id=name)
            partial.replace(self._path(name, _DATA))
            self._write_info(info)
        except OSError as error:
            with suppress(OSError):
                self._remove_files(name)
            raise _refused(error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        with self._lock:
            self._known[name] = info
        self._make_room()
        return info

    def describe(self, snapshot_id: str, *, name: str | None = None, note: str | None = None) -> SnapshotInfo:
        """Name a snapshot or write a note to it; None leaves what is there."""
        info = self.get(snapshot_id)
        for text, limit in ((name, LONGEST_NAME), (note, LONGEST_NOTE)):
            if text is not None and len(text) > limit:
                raise BadInputError(
                    _("This text has {length} characters, {limit} are possible; nothing was changed.").format(
                        length=len(text), limit=limit
                    )
                )
        info = replace(
            info,
            name=info.name if name is None else " ".join(name.split()),
            note=info.note if note is None else note.strip(),
            automatic=info.automatic and name is None,  # who names a snapshot wants to keep it
        )
        try:
            self._write_info(info)
        except OSError as error:
            raise _refused(error) from error
        with self._lock:
            if snapshot_id in self._known:
                self._known[snapshot_id] = info
        return info

    def delete(self, snapshot_id: str) -> None:
        """Remove a snapshot; NotFoundError when it is not there."""
        info = self.get(snapshot_id)
        with self._lock:
            self._known.pop(info.id, None)
        try:
            self._remove_files(info.id)
        except OSError as error:
            raise _refused(error) from error

    def _make_room(self) -> None:
        for automatic, limit in ((True, AUTOMATIC_KEPT), (False, KEPT)):
            some = [info for info in self.snapshots() if info.automatic is automatic]
            self._discard(some[limit:])
        total, over = 0, []
        for info in self.snapshots():
            total += info.size
            if total > KEPT_BYTES:
                over.append(info)
        self._discard(over)

    def _discard(self, snapshots: list[SnapshotInfo]) -> None:
        for info in snapshots:
            with suppress(NotFoundError, StorageError):
                self.delete(info.id)

    def _path(self, snapshot_id: str, ending: str) -> Path:
        if not _ID.match(snapshot_id):
            raise NotFoundError(_("There is no such snapshot."))
        return self._folder / f"{snapshot_id}{ending}"

    def _remove_files(self, snapshot_id: str) -> None:
        for ending in (_INFO, _DATA):
            self._path(snapshot_id, ending).unlink(missing_ok=True)

    def _write_info(self, info: SnapshotInfo) -> None:
        partial = self._path(info.id, _INFO + _PARTIAL)
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(asdict(info), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path(info.id, _INFO))
        finally:
            partial.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Learn what is there; remove what an end in the middle of writing has left."""
        for path in sorted(self._folder.iterdir()):
            snapshot_id = path.name.split(".")[0]
            if not _ID.match(snapshot_id):
                continue
            if path.name.endswith(_PARTIAL) or (path.suffix == _DATA and not self._path(snapshot_id, _INFO).exists()):
                path.unlink(missing_ok=True)
            elif path.suffix == _INFO:
                self._known[snapshot_id] = _read_info(path, snapshot_id)


def _read_info(path: Path, snapshot_id: str) -> SnapshotInfo:
    try:
        values = json.loads(path.read_bytes())
        kinds = {field.name: type(getattr(_UNKNOWN, field.name)) for field in fields(SnapshotInfo)}
        known = {name: kinds[name](values[name]) for name in kinds if name in values}
        return replace(SnapshotInfo(**known), id=snapshot_id)
    except (OSError, ValueError, TypeError, KeyError):
        with suppress(OSError):
            return replace(_UNKNOWN, id=snapshot_id, time=path.stat().st_mtime)
        return replace(_UNKNOWN, id=snapshot_id)


_UNKNOWN = SnapshotInfo(
    id="", time=0.0, run=0.0, frames=0, bytes=0, blocks=0, tracebacks=0, left_out=0, overhead=0, size=0,
    paused=0.0, took=0.0, damaged=True,
)  # fmt: skip


def _refused(error: OSError) -> StorageError:
    return StorageError(
        _("The disk refused: {reason}. The snapshots there were are kept.").format(reason=error.strerror or error),
        _("Free some disk space, or delete snapshots that are no longer needed."),
    )
