"""Snapshots on disk: captured in a forked child, written whole or not at all, bounded in number and bytes (the oldest
are removed first).
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from services.core.checked_text import with_checksum, without_checksum
from services.core.errors import BadInputError, NotFoundError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import make_folder, remove_unfinished, write_whole
from services.memory.fork_snapshot import run_in_fork
from services.memory.tracing.snapshot_file import Traces, collect_traces, read_traces, write_traces
from services.memory.tracing.types import SnapshotInfo, TracingStatus

MOST_SNAPSHOTS = 30
MOST_AUTOMATIC = 24
MOST_BYTES = 256 * MEGABYTE
LONGEST_NAME = 80
LONGEST_NOTE = 1000
_CAPTURE_SECONDS = 120.0

_ID = re.compile(r"[0-9a-f]{16}\Z")
_PARTIAL = ".partial"
_DATA = ".npz"
_INFO = ".json"  # written last: a snapshot without it does not exist


class SnapshotStore:
    """A folder of snapshots. Ids are made here; no id from outside becomes part of a path unchecked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, SnapshotInfo] = {}
        self.damaged: list[str] = []  # of which something was damaged or missing at the start
        with suppress(OSError):
            self._load()

    def snapshots(self) -> list[SnapshotInfo]:
        """Return all snapshots, newest first."""
        with self._lock:
            return sorted(self._known.values(), key=lambda info: (info.time, info.id), reverse=True)

    def get(self, snapshot_id: str) -> SnapshotInfo:
        """Return a snapshot; raises NotFoundError when it does not exist."""
        with self._lock:
            found = self._known.get(snapshot_id)
        if found is None:
            raise NotFoundError(
                _("This snapshot is not here; it was deleted or removed to make room for a newer one."),
                _("Choose another from the list."),
            )
        return found

    def path(self, snapshot_id: str) -> Path:
        """Return the file with the traces of a snapshot; raises NotFoundError when it does not exist."""
        path = self._path(self.get(snapshot_id).id, _DATA)
        if not path.is_file():  # somebody else removed it: the list is not to go on naming it
            with self._lock:
                self._known.pop(snapshot_id, None)
            self.get(snapshot_id)
        return path

    def traces(self, snapshot_id: str) -> Traces:
        """Return the traces of a snapshot; raises DamagedError or StorageError when they cannot be read."""
        return read_traces(self.path(snapshot_id))

    def add(self, write: Callable[[Path], SnapshotInfo]) -> SnapshotInfo:
        """Store a new snapshot under a new id: `write` writes the file and returns what is in it.

        A failure leaves nothing behind. Raises StorageError when the disk refuses.
        """
        name = secrets.token_hex(8)
        partial = self._path(name, _DATA + _PARTIAL)
        try:
            make_folder(self._folder)
            info = replace(write(partial), id=name)
            partial.replace(self._path(name, _DATA))
            self._write_info(info)
        except OSError as error:
            with suppress(OSError):
                self._remove_files(name)
            raise _storage_error(error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        with self._lock:
            self._known[name] = info
        self._prune()
        return info

    def describe(self, snapshot_id: str, *, name: str | None = None, note: str | None = None) -> SnapshotInfo:
        """Set the name or note of a snapshot; None leaves it unchanged."""
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
            automatic=info.automatic and name is None,  # a named snapshot is kept longer
        )
        try:
            self._write_info(info)
        except OSError as error:
            raise _storage_error(error) from error
        with self._lock:
            if snapshot_id in self._known:
                self._known[snapshot_id] = info
        return info

    def delete(self, snapshot_id: str) -> None:
        """Remove a snapshot; raises NotFoundError when it does not exist."""
        info = self.get(snapshot_id)
        with self._lock:
            self._known.pop(info.id, None)
        try:
            self._remove_files(info.id)
        except OSError as error:
            raise _storage_error(error) from error

    def _prune(self) -> None:
        for automatic, limit in ((True, MOST_AUTOMATIC), (False, MOST_SNAPSHOTS)):
            some = [info for info in self.snapshots() if info.automatic is automatic]
            self._discard(some[limit:])
        total, over = 0, []
        for info in self.snapshots():
            total += info.size
            if total > MOST_BYTES:
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
        write_whole(self._path(info.id, _INFO), with_checksum(json.dumps(asdict(info)).encode()))

    def _load(self) -> None:
        """Load the stored snapshots; remove partial files of an interrupted write."""
        remove_unfinished(self._folder)
        for path in sorted(self._folder.iterdir()):
            snapshot_id = path.name.split(".")[0]
            if not _ID.match(snapshot_id):
                continue
            if path.name.endswith(_PARTIAL):
                path.unlink(missing_ok=True)
            elif path.suffix == _DATA and not self._path(snapshot_id, _INFO).exists():
                self.damaged.append(snapshot_id)
                path.unlink(missing_ok=True)
            elif path.suffix == _INFO and not self._path(snapshot_id, _DATA).exists():
                self.damaged.append(snapshot_id)  # no interrupted write or deletion leaves this behind
                path.unlink(missing_ok=True)
            elif path.suffix == _INFO:
                self._known[snapshot_id] = info = _read_info(path, snapshot_id)
                if info.damaged:
                    self.damaged.append(snapshot_id)


def _read_info(path: Path, snapshot_id: str) -> SnapshotInfo:
    try:
        values = json.loads(without_checksum(path.read_bytes()))
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


def _storage_error(error: OSError) -> StorageError:
    return StorageError(
        _("The disk refused: {reason}. The existing snapshots are kept.").format(reason=error.strerror or error),
        _("Free some disk space, or delete snapshots that are no longer needed."),
    )


def capture_snapshot(store: SnapshotStore, status: TracingStatus, now: float, *, automatic: bool) -> SnapshotInfo:
    """Store a snapshot of the current traces; a forked child writes it, so this process neither stops nor grows.

    Raises what `run_in_fork` and `SnapshotStore.add` raise.
    """

    def write_to(path: Path) -> SnapshotInfo:
        found = run_in_fork(lambda: _write_snapshot(path), seconds=_CAPTURE_SECONDS, what=_("snapshot of allocations"))
        return SnapshotInfo(
            id="",
            time=now,
            run=status.since,
            frames=status.frames,
            overhead=status.overhead,
            paused=found.paused,
            took=found.took,
            automatic=automatic,
            **found.value,
        )

    return store.add(write_to)


def _write_snapshot(path: Path) -> dict[str, Any]:
    """Collect and write the traces (in the forked child)."""
    traces, left_out, total, blocks = collect_traces()
    try:
        size = write_traces(traces, path)
    except OSError as error:
        raise StorageError(
            _("The snapshot could not be written: {reason}. The existing snapshots are kept.").format(
                reason=error.strerror or error
            ),
            _("Free some disk space."),
        ) from error
    return {"bytes": total, "blocks": blocks, "tracebacks": len(traces), "left_out": left_out, "size": size}
