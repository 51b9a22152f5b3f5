"""Snapshots of the vector index on disk: generations, each written atomically.

A generation is a folder that is written under a temporary name, synced and renamed. Its manifest has the sha256 of
every file. A damaged generation is moved aside and the one before it is used; all of them can be lost without harm,
since the database has every vector.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import structlog
from numpy.typing import NDArray

from services.core.errors import DamagedError, StorageError
from services.core.file_checksum import file_sha256
from services.core.i18n import _
from services.core.private_files import create_file, make_folder, sync
from services.knowledge.index.segment import Codec, Segment
from services.knowledge.index.vector_index import SEGMENT_VECTORS, VectorIndex

log = structlog.get_logger(__name__)

FORMAT = 1
MANIFEST = "manifest.json"
FILES = frozenset({"codec.npy", "ids.npy", "groups.npy", "codes.npy"})
_TEMPORARY = ".passing-"
_DAMAGED = "damaged"
# Damaged generations kept for inspection.
_DAMAGED_KEPT = 2


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The manifest of a generation."""

    dimension: int
    fingerprint: str
    count: int
    trained: bool
    files: dict[str, str]


class IndexSnapshotStore:
    """Generations of one index in one folder, at most `kept` of them."""

    def __init__(self, directory: Path, kept: int = 2) -> None:
        self._directory = directory
        self._kept = kept
        self._lock = threading.Lock()

    def save(self, index: VectorIndex, fingerprint: str, *, alone: bool = False) -> int:
        """Write the present state of the index as a new generation; return its number.

        With `alone` all others are deleted then, damaged ones too: they have vectors that are to be gone.

        Raises:
            StorageError: the disk refused; the generations before are kept.
        """
        with self._lock:
            temporary = self._directory / f"{_TEMPORARY}new"
            try:
                make_folder(self._directory)
                self._sweep()
                generation = self._highest() + 1
                make_folder(temporary)
                _write(temporary, index, fingerprint)
                temporary.rename(self._directory / f"{generation:010d}")
                _sync_folder(self._directory)
                for _number, folder in self._generations()[: -1 if alone else -self._kept]:
                    self._discard(folder)
                if alone:
                    shutil.rmtree(self._directory / _DAMAGED, ignore_errors=True)
            except OSError as error:
                shutil.rmtree(temporary, ignore_errors=True)
                raise StorageError(
                    _("The vector index could not be saved: {reason}. The one saved before is kept.").format(
                        reason=error.strerror or error
                    ),
                    _("Free some disk space; the index is saved again with the next change."),
                ) from error
            return generation

    def load(self, dimension: int, fingerprint: str) -> tuple[VectorIndex | None, list[str]]:
        """Return the index of the newest valid generation (None: there is none) and warnings about damaged ones.

        Generations of another embedding model are skipped; damaged ones are moved aside.
        """
        warnings: list[str] = []
        with self._lock:
            self._clear()
            for _number, folder in reversed(self._generations()):
                try:
                    manifest = _read_manifest(folder)
                    if (manifest.dimension, manifest.fingerprint) != (dimension, fingerprint):
                        continue
                    return _read(folder, manifest), warnings
                except DamagedError as error:
                    warnings.append(str(error))
                    self._set_aside(folder)
        return None, warnings

    def _generations(self) -> list[tuple[int, Path]]:
        """Return (number, folder) of the complete generations, oldest first."""
        if not self._directory.is_dir():
            return []
        return sorted((int(path.name), path) for path in self._directory.iterdir() if path.name.isdecimal())

    def _highest(self) -> int:
        """Return the highest number in use, damaged generations included."""
        names = [path.name for path in (*self._directory.iterdir(), *(self._directory / _DAMAGED).glob("*"))]
        return max([0, *(int(name) for name in names if name.isdecimal())])

    def _sweep(self) -> None:
        """Delete incomplete generations that a kill left."""
        for path in self._directory.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path)

    def _clear(self) -> None:
        """Delete what a kill left of a save: without a change nothing else would, before the next one."""
        try:
            self._sweep()
            for _number, folder in self._generations()[: -self._kept]:
                self._discard(folder)
        except OSError as error:
            log.warning("old index snapshots not deleted", reason=error.strerror)

    def _discard(self, folder: Path) -> None:
        # Renamed first: a partly deleted generation must not look like a damaged one.
        temporary = self._directory / f"{_TEMPORARY}{folder.name}"
        folder.rename(temporary)
        shutil.rmtree(temporary)

    def _set_aside(self, folder: Path) -> None:
        damaged = self._directory / _DAMAGED
        make_folder(damaged)
        target = damaged / folder.name
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
        for old in sorted(damaged.iterdir())[:-_DAMAGED_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, index: VectorIndex, fingerprint: str) -> None:
    codec, segments = index.frozen()
    count = sum(segment.live for segment in segments)
    files = {
        "codec.npy": _write_array(
            folder / "codec.npy", (2, index.dimension), np.float32, iter([np.stack([codec.low, codec.span])])
        ),
        "ids.npy": _write_array(folder / "ids.npy", (count,), np.int64, _parts(segments, 0)),
        "groups.npy": _write_array(folder / "groups.npy", (count,), np.int32, _parts(segments, 1)),
        "codes.npy": _write_array(folder / "codes.npy", (count, index.dimension), np.uint8, _parts(segments, 2)),
    }
    manifest = {
        "format": FORMAT,
        "dimension": index.dimension,
        "fingerprint": fingerprint,
        "count": count,
        "trained": codec.trained,
        "files": files,
    }
    with create_file(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode())
        _sync(file)
    _sync_folder(folder)


def _parts(segments: tuple[Segment, ...], column: int) -> Iterator[NDArray[Any]]:
    for segment in segments:
        yield segment.live_entries()[column]


def _write_array(path: Path, shape: tuple[int, ...], dtype: type, parts: Iterator[NDArray[Any]]) -> str:
    """Write an .npy file piece by piece; return its sha256."""
    little = np.dtype(dtype).newbyteorder("<")
    with create_file(path) as file:
        header = {"descr": np.lib.format.dtype_to_descr(little), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=little).data)
        _sync(file)
    return file_sha256(path)


def _read_manifest(folder: Path) -> _Manifest:
    try:
        stated = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if stated["format"] != FORMAT:
            raise _damaged(folder, _("it has an unknown format"))
        if set(stated["files"]) != FILES:
            raise _damaged(folder, _("its manifest is incomplete"))
        return _Manifest(**{key: stated[key] for key in _Manifest.__slots__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, _("its manifest cannot be read")) from error


def _read(folder: Path, manifest: _Manifest) -> VectorIndex:
    try:
        for name, expected in manifest.files.items():
            if file_sha256(folder / name) != expected:
                raise _damaged(folder, _("the checksum of {file} is wrong").format(file=name))
        low, span = np.load(folder / "codec.npy", allow_pickle=False)
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        groups = np.load(folder / "groups.npy", allow_pickle=False)
        codes = np.load(folder / "codes.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(folder, _("a file cannot be read")) from error
    if codes.shape != (manifest.count, manifest.dimension) or len(ids) != len(groups) or len(ids) != len(codes):
        raise _damaged(folder, _("its files do not fit together"))
    index = VectorIndex(manifest.dimension, Codec(low, span, trained=manifest.trained))
    for start in range(0, len(ids), SEGMENT_VECTORS):
        part = slice(start, start + SEGMENT_VECTORS)
        index.load(ids[part], groups[part], np.array(codes[part]))
    return index


def _damaged(folder: Path, reason: str) -> DamagedError:
    return DamagedError(
        _("The index snapshot {name} is damaged ({reason}) and was set aside.").format(name=folder.name, reason=reason),
        _("Nothing is lost: the index is rebuilt from the database."),
    )


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make names in a folder durable, where the system can (https://www.man7.org/linux/man-pages/man2/fsync.2.html)."""
    if os.name == "posix":
        sync(folder)
