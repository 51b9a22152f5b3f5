"""What goes into the layers of an encoder and comes out of them: embeddings of tokens, pooling."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.errors import DamagedError
from services.core.i18n import _
from services.knowledge.embedding.engine.bert_weights import Array, Norm
from services.knowledge.embedding.packed_file import BLOCK, BLOCK_TYPE, dequantised

# It keeps the interpreter's lock: giving it up for each of 200 rows would cost as many turns.
_LIBRARY = ctypes.PyDLL(None, use_errno=True)
_LIBRARY.pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64)
_LIBRARY.pread.restype = ctypes.c_ssize_t

# Added to the score of a pair of tokens that have nothing to do with each other: its share is 0 then.
NOT_ATTENDED = np.float32(-1e9)


class RowFile:
    """Rows of one size in a file, from an offset on. They are read from the system's cache, a microsecond each.

    Mapped, nearly all of them would become resident: the kernel maps large pieces around each row that is touched.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Open the file until this object ends."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._path = path
        self._offset = offset

    def read(self, wanted: NDArray[np.int64], found: NDArray[Any]) -> None:
        """Fill the rows of `found` with the rows `wanted` of the file.

        Raises:
            DamagedError: the file is shorter than it was.
        """
        size, address, descriptor = found.strides[0], found.ctypes.data, self._descriptor
        for number, row in enumerate(wanted.tolist()):
            if _LIBRARY.pread(descriptor, address + number * size, size, self._offset + row * size) != size:
                raise DamagedError(
                    _("The prepared weights in {path} were changed while Millpond runs.").format(path=self._path),
                    _("Restart Millpond: it makes them anew."),
                )


class WordFile:
    """The vocabulary's table in a file of its own, float16 (words, d)."""

    def __init__(self, path: Path, dimension: int) -> None:
        """Open the file until this object ends."""
        self._file = RowFile(path)
        self._dimension = dimension

    def rows(self, tokens: NDArray[np.int64]) -> Array:
        """Return the rows of tokens of any shape, float32.

        Raises:
            DamagedError: the file is shorter than it was.
        """
        wanted, places = np.unique(tokens, return_inverse=True)
        found = np.empty((len(wanted), self._dimension), dtype=np.float16)
        self._file.read(wanted, found)
        return found.astype(np.float32)[places.reshape(tokens.shape)]


class PackedWordFile:
    """The vocabulary's table within a packed model, in blocks of 4 bits (words, d)."""

    def __init__(self, path: Path, dimension: int, offset: int) -> None:
        """Open the file until this object ends; the table begins at `offset`."""
        self._file = RowFile(path, offset)
        self._dimension = dimension

    def rows(self, tokens: NDArray[np.int64]) -> Array:
        """As `WordFile.rows`."""
        wanted, places = np.unique(tokens, return_inverse=True)
        blocks = np.empty((len(wanted), self._dimension // BLOCK), dtype=BLOCK_TYPE)
        self._file.read(wanted, blocks)
        found: Array = dequantised(blocks).reshape(len(wanted), self._dimension)
        return found[places.reshape(tokens.shape)]


@dataclass(frozen=True, slots=True)
class TokenEmbeddings:
    """What tokens are looked up in; `first_position` is the row of a text's first token.

    `words` returns the rows of tokens of any shape, float32.
    """

    words: Callable[[NDArray[np.int64]], Array]
    positions: Array
    norm: Norm
    epsilon: float
    first_position: int

    def embedded(self, sequences: Sequence[Sequence[int]]) -> Array:
        """Return the embeddings of sequences of one length, float32 (sequences, tokens, d)."""
        tokens = np.asarray(sequences, dtype=np.int64)
        return self._embedded(tokens, np.arange(tokens.shape[1]))

    def joined(self, sequences: Sequence[Sequence[int]]) -> Array:
        """Return the embeddings of sequences of any length one after the other, float32 (1, tokens of all, d)."""
        tokens = np.fromiter(chain.from_iterable(sequences), dtype=np.int64)
        places = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
        return self._embedded(tokens[None], places)

    def _embedded(self, tokens: NDArray[np.int64], places: NDArray[np.int64]) -> Array:
        """Return the embeddings of tokens (sequences, tokens) that have these places in their texts."""
        hidden = self.words(tokens)
        hidden += self.positions[self.first_position + places]
        hidden -= hidden.mean(axis=-1, keepdims=True)
        hidden /= np.sqrt(np.square(hidden).mean(axis=-1, keepdims=True) + self.epsilon)
        hidden *= self.norm.scale
        hidden += self.norm.shift
        return hidden


def pooled(encoded: Array, *, mean: bool) -> Array:
    """Return one vector for each sequence: the mean of its tokens, or its first; float32 (sequences, d)."""
    vectors: Array = encoded.mean(axis=1) if mean else encoded[:, 0]
    return vectors


def pooled_apart(encoded: Array, lengths: Sequence[int], *, mean: bool) -> Array:
    """As `pooled`, of sequences one after the other, (1, tokens of all, d)."""
    starts = _starts(lengths)
    if not mean:
        first: Array = encoded[0, starts]
        return first
    sums: Array = np.add.reduceat(encoded[0], starts, axis=0)
    return sums / np.asarray(lengths, dtype=np.float32)[:, None]


def kept_apart(lengths: Sequence[int]) -> Array:
    """Return for each pair of tokens 0 within a sequence and `NOT_ATTENDED` between two, (1, 1, tokens, tokens)."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return np.where(owner[:, None] == owner[None, :], np.float32(0), NOT_ATTENDED)[None, None]


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)]).astype(np.int64)
