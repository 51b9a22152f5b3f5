"""What SQLite's write-ahead log holds, read before SQLite opens it: SQLite leaves out what follows a damaged frame, and
says nothing.

A log ends with the last frame whose checksum fits (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). What
follows is a transaction that a power cut tore apart, or a former lap; but it is lost work when later frames were
written whole, or when the log's index (the file -shm, which outlives a killed process) counts more frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
_MAGIC = 0x377F0682  # the lowest bit says that checksums read words as big-endian
_INDEX_HEADER_BYTES = 48
_FRAMES_AT_ONCE = 256
_USUAL_FRAME = 4096 + FRAME_HEADER_BYTES

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log holds. `frames` are valid and committed, over `pages`; `lost`: committed frames that cannot be read.

    `torn`: an incomplete transaction follows, as after a power cut. `needed`: false when the database has certainly
    everything already, lost frames included.
    """

    frames: int = 0
    pages: frozenset[int] = field(default_factory=frozenset)
    lost: int = 0
    torn: bool = False
    needed: bool = True


@dataclass(frozen=True, slots=True)
class _Index:
    """What the log's index counts: frames committed, and how many of them the database has already."""

    salts: bytes
    frames: int
    copied: int


@dataclass(frozen=True, slots=True)
class _Frames:
    """All frames of the file: page, size of the database after a commit (0: no commit), salts fit, checksum fits."""

    pages: Words
    commits: Words
    salted: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def read_log(database: Path) -> LogState:
    """Return what the log of a database file holds; it must not be open anywhere.

    Raises:
        OSError: the log cannot be read.
    """
    index = _read_index(database.with_name(f"{database.name}-shm"))
    counted = index.frames if index is not None else 0
    needed = index is None or index.copied < index.frames
    log = database.with_name(f"{database.name}-wal")
    if not log.exists():
        return LogState(lost=counted, needed=needed)
    with log.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if not header:
            return LogState(lost=counted, needed=needed)
        frames = _read_frames(file, header)
    if frames is None:
        # No header that fits, so no frame can be told from what a former lap left.
        return LogState(lost=counted if index is not None else log.stat().st_size // _USUAL_FRAME, needed=needed)
    intact = frames.salted & frames.valid
    end = len(intact) if intact.all() else int(np.argmin(intact))
    commits = np.flatnonzero(frames.commits[:end])
    whole = int(commits[-1]) + 1 if len(commits) else 0
    pages = frozenset(frames.pages[:whole].tolist())
    if index is not None and (index.salts == header[16:24] or index.frames > 0):
        wanted = index.frames if index.salts == header[16:24] else whole + index.frames
        return LogState(whole, pages, max(0, wanted - whole), end > whole, needed)
    later = np.flatnonzero(intact[end + 1 :]) + end + 1
    # Each commit was on disk before the next transaction began: only the last one can have been torn.
    ended = np.flatnonzero(frames.commits[end:] * frames.salted[end:]) + end
    lost = len(later) if len(ended) > 1 or (len(ended) and later.size and later[-1] > ended[0]) else 0
    return LogState(whole, pages, lost, bool(len(ended)) or end > whole)


def frame_count(read_at: int, salts: bytes, counted: int, page_size: int) -> int:
    """Return how many frames of the present lap are in the open log; `counted` are known to be.

    `read_at` is the descriptor.
    """
    from os import pread

    size = FRAME_HEADER_BYTES + page_size
    while True:
        header = pread(read_at, FRAME_HEADER_BYTES, HEADER_BYTES + counted * size)
        if len(header) < FRAME_HEADER_BYTES or header[8:16] != salts:
            return counted
        counted += 1


def _read_index(path: Path) -> _Index | None:
    """Return what the index counts; None where there is none that can be relied on."""
    try:
        content = path.read_bytes()[: 2 * _INDEX_HEADER_BYTES + 4]
    except OSError:
        return None
    if len(content) < 2 * _INDEX_HEADER_BYTES + 4:
        return None
    first, second = content[:_INDEX_HEADER_BYTES], content[_INDEX_HEADER_BYTES : 2 * _INDEX_HEADER_BYTES]
    # Native byte order: the index never leaves the machine.
    words = np.frombuffer(first, dtype=np.uint32)
    low, high = _sums(words[np.newaxis, :10], np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    if first != second or first[12] != 1 or (low[0], high[0]) != (words[10], words[11]):
        return None
    (copied,) = struct.unpack_from("=I", content, 2 * _INDEX_HEADER_BYTES)
    return _Index(first[32:40], int(words[4]), int(copied))


def _read_frames(file: BinaryIO, header: bytes) -> _Frames | None:
    """Return the frames behind a header; None where the header does not fit."""
    if len(header) < HEADER_BYTES:
        return None
    magic, _version, page_size, _lap = struct.unpack_from(">4I", header)
    if magic & ~1 != _MAGIC or not 512 <= page_size <= 65536 or page_size & (page_size - 1):
        return None
    order = np.dtype(">u4" if magic & 1 else "<u4")
    stored = np.frombuffer(header, ">u4")[6:8].astype(np.uint32)
    words = np.frombuffer(header[:24], order).astype(np.uint32)
    low, high = _sums(words[np.newaxis], np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    if (low[0], high[0]) != (stored[0], stored[1]):
        return None
    parts: list[_Frames] = []
    for batch in _batches(file, FRAME_HEADER_BYTES + page_size):
        heads = batch[:, :FRAME_HEADER_BYTES].copy().view(">u4").astype(np.uint32)
        before = np.vstack([stored[np.newaxis], heads[:-1, 4:6]])
        content = np.hstack([batch[:, :8], batch[:, FRAME_HEADER_BYTES:]]).view(order).astype(np.uint32)
        low, high = _sums(content, before[:, 0].copy(), before[:, 1].copy())
        salted = (batch[:, 8:16] == np.frombuffer(header[16:24], np.uint8)).all(axis=1)
        parts.append(_Frames(heads[:, 0], heads[:, 1], salted, (low == heads[:, 4]) & (high == heads[:, 5])))
        stored = heads[-1, 4:6]
    if not parts:
        return _Frames(*(np.empty(0, np.uint32),) * 2, *(np.empty(0, np.bool_),) * 2)
    return _Frames(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("pages", "commits", "salted", "valid"))
    )


def _batches(file: BinaryIO, size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the whole frames that follow, some at a time, uint8 (n, size)."""
    while data := file.read(size * _FRAMES_AT_ONCE):
        whole = len(data) // size
        if whole:
            yield np.frombuffer(data, np.uint8)[: whole * size].reshape(whole, size)
        if len(data) < size * _FRAMES_AT_ONCE:
            return


def _sums(words: Words, low: Words, high: Words) -> tuple[Words, Words]:
    """Return SQLite's checksums of the rows of `words`, each begun with `low` and `high`."""
    columns = np.ascontiguousarray(words.T)
    with np.errstate(over="ignore"):
        for place in range(0, len(columns), 2):
            low = low + columns[place] + high
            high = high + columns[place + 1] + low
    return low, high
