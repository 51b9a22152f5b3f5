"""The content of a snapshot: each traceback once, with its blocks and bytes, as arrays in a file.

The file is a zip of plain NumPy arrays (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), read
without pickle: `tracemalloc.Snapshot.dump` would pickle, and a pickle can run any code when it is opened.
"""

from __future__ import annotations

import os
import tracemalloc
from _tracemalloc import _get_traces
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.core.checked_text import ARCHIVE_ERRORS
from services.core.errors import ConflictError, DamagedError, StorageError
from services.core.i18n import _
from services.core.private_files import create_file

Integers = NDArray[np.int64]
RawTraceback = Sequence[tuple[str, int]]  # most recent call first, as the interpreter gives it

MOST_TRACEBACKS = 200_000
_ARRAYS = ("bytes", "blocks", "offsets", "frames", "frame_files", "frame_lines", "file_names")


@dataclass(frozen=True, slots=True)
class Traces:
    """Traceback i has `blocks[i]` blocks of `bytes[i]` bytes together, frames `frames[offsets[i]:offsets[i + 1]]`, most
    recent call first. A frame is a number into `frame_files` and `frame_lines`, its file a number into `files`."""

    bytes: Integers
    blocks: Integers
    offsets: Integers
    frames: Integers
    frame_files: Integers
    frame_lines: Integers
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bytes)


def collect_traces() -> tuple[Traces, int, int, int]:
    """Return the traces of this process, the bytes of those left out, and the bytes and blocks of all.

    Stops tracing, so that the rest is fast: meant for a forked child.
    """
    if not tracemalloc.is_tracing():
        raise ConflictError(_("Tracing was switched off meanwhile, so there was nothing to snapshot."))
    raw = _get_traces()
    tracemalloc.stop()
    # Equal tracebacks are mostly one object: grouping by address first saves hashing their frames a million times.
    by_address: dict[int, list[int]] = {}
    known: list[RawTraceback] = []
    for _domain, size, traceback, *_more in raw:
        entry = by_address.get(id(traceback))
        if entry is None:
            by_address[id(traceback)] = [size, 1]
            known.append(traceback)
        else:
            entry[0] += size
            entry[1] += 1
    blocks = len(raw)
    merged: dict[RawTraceback, list[int]] = {}
    for traceback, (size, number) in zip(known, by_address.values(), strict=True):
        entry = merged.setdefault(traceback, [0, 0])
        entry[0] += size
        entry[1] += number
    total = sum(size for size, _number in merged.values())
    kept = sorted(merged.items(), key=lambda item: item[1][0], reverse=True)[:MOST_TRACEBACKS]
    left_out = total - sum(size for _traceback, (size, _number) in kept)
    return pack_traces((traceback, size, number) for traceback, (size, number) in kept), left_out, total, blocks


def pack_traces(traces: Iterable[tuple[RawTraceback, int, int]]) -> Traces:
    """Return (traceback, bytes, blocks) as arrays."""
    files: dict[str, int] = {}
    places: dict[tuple[str, int], int] = {}
    sizes: list[int] = []
    counts: list[int] = []
    offsets: list[int] = [0]
    frames: list[int] = []
    for traceback, size, count in traces:
        sizes.append(size)
        counts.append(count)
        frames += [places.setdefault(place, len(places)) for place in traceback]
        offsets.append(len(frames))
    frame_files = [files.setdefault(file, len(files)) for file, _line in places]
    frame_lines = [line for _file, line in places]
    return Traces(
        bytes=np.array(sizes, dtype=np.int64),
        blocks=np.array(counts, dtype=np.int64),
        offsets=np.array(offsets, dtype=np.int64),
        frames=np.array(frames, dtype=np.int64),
        frame_files=np.array(frame_files, dtype=np.int64),
        frame_lines=np.array(frame_lines, dtype=np.int64),
        files=tuple(files),
    )


def write_traces(traces: Traces, path: Path) -> int:
    """Write to a new file and fsync it; return its bytes. Raises OSError when the disk refuses."""
    names = "\0".join(traces.files).encode("utf-8", "surrogateescape")
    with create_file(path, exclusive=True) as file:
        np.savez_compressed(
            file,
            bytes=traces.bytes,
            blocks=traces.blocks,
            offsets=_as_int32(traces.offsets),
            frames=_as_int32(traces.frames),
            frame_files=_as_int32(traces.frame_files),
            frame_lines=_as_int32(traces.frame_lines),
            file_names=np.frombuffer(names, dtype=np.uint8),
        )
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def read_traces(path: Path) -> Traces:
    """Read what `write_traces` wrote.

    Raises:
        DamagedError: the file is damaged or no snapshot.
        StorageError: it cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in _ARRAYS}
        files = tuple(bytes(columns.pop("file_names")).decode("utf-8", "surrogateescape").split("\0"))
        traces = Traces(**{name: column.astype(np.int64) for name, column in columns.items()}, files=files)
        _check(traces)
    except OSError as error:
        raise StorageError(
            _("The snapshot cannot be read: {reason}.").format(reason=error.strerror or error)
        ) from error
    except ARCHIVE_ERRORS as error:
        raise DamagedError(
            _("The file of this snapshot is damaged; the others are not affected."),
            _("Delete it and take another."),
        ) from error
    return traces


def _as_int32(numbers: Integers) -> NDArray[np.int32]:
    return numbers.astype(np.int32)  # indices or line numbers


def _check(traces: Traces) -> None:
    """Raise ValueError unless all indices are in range."""
    count, offsets = len(traces.bytes), traces.offsets
    fits = (
        all(column.ndim == 1 for column in (traces.bytes, traces.blocks, offsets, traces.frames))
        and len(traces.blocks) == count
        and len(offsets) == count + 1
        and offsets[0] == 0
        and offsets[-1] == len(traces.frames)
        and bool(np.all(np.diff(offsets) >= 1))
        and len(traces.frame_files) == len(traces.frame_lines)
        and _within(traces.frames, len(traces.frame_lines))
        and _within(traces.frame_files, len(traces.files))
    )
    if not fits:
        raise ValueError("the parts of the snapshot do not fit together")


def _within(numbers: Integers, limit: int) -> bool:
    return not len(numbers) or bool(numbers.min() >= 0 and numbers.max() < limit)
