"""What every room reports in the same words: the big things that it holds in RAM, and whose they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Owner(StrEnum):
    """Who a byte of RSS belongs to. The order is the one in which charts stack them and tables list them."""

    LIBRARIES = "libraries"
    RELOCATIONS = "relocations"
    KERNELS = "kernels"
    MODELS = "models"
    INDEX = "index"
    DATABASE = "database"
    PYTHON = "python_objects"
    PYTHON_FREE = "python_free"
    NATIVE = "native"
    NATIVE_FREE = "native_free"
    STACKS = "thread_stacks"
    CONVERSATIONS = "conversations"
    UPLOADS = "uploads"
    SESSIONS = "sessions"
    EXPIRED_SESSIONS = "expired_sessions"
    STREAMLIT_CACHES = "streamlit_caches"
    MEDIA = "media"
    OWN_CACHES = "own_caches"
    TRACING = "tracing"
    GPU_HOST = "gpu_host"
    FILES = "mapped_files"
    UNNAMED = "unnamed"


class Region(StrEnum):
    """Where a holder's bytes lie, so that they are taken from the right part of RSS and never counted twice."""

    PYTHON = "python"  # Python objects of any size: pymalloc, and malloc for those over 512 bytes
    NATIVE = "native"  # malloc: tensors, arrays, C and C++ libraries
    MAPPED = "mapped"  # mappings of its own; `ranges` says which
    ELSEWHERE = "elsewhere"  # not in this process's RSS: GPU, child processes, disk


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Something that the process holds: what it is, how many bytes, how often it was loaded.

    `ranges` are (address, length in bytes) of the memory itself where it is known (tensors, index codes): the ledger
    then counts what of it is resident. `files` are (path, bytes of it in `bytes`) of mapped files that belong to it as
    a whole. Only what `bytes` has beyond the two is believed; `large` is how much of that is in Python objects over 512
    bytes, which malloc holds.
    """

    name: str
    detail: str
    bytes: int
    loads: int
    attributes: dict[str, str] = field(default_factory=dict)
    owner: Owner = Owner.OWN_CACHES
    region: Region = Region.PYTHON
    ranges: tuple[tuple[int, int], ...] = ()
    large: int = 0
    files: tuple[tuple[str, int], ...] = ()

    @property
    def believed(self) -> int:
        """Bytes that no address and no file backs."""
        backed = sum(length for _address, length in self.ranges) + sum(size for _path, size in self.files)
        return max(0, self.bytes - backed)


# Python's own allocator takes care of objects up to this size, malloc of the others; both hand out multiples of 16
# bytes, and malloc puts a word in front.
LARGEST_SMALL = 512
_ALIGNMENT = 16
_WORD = 8


def allocated(size: int) -> int:
    """Return the bytes that an object of `size` bytes takes."""
    return -(-(size + _WORD if size > LARGEST_SMALL else size) // _ALIGNMENT) * _ALIGNMENT


def object_bytes(objects: Iterable[object]) -> tuple[int, int]:
    """Return the bytes of Python objects, each by itself, and what of them malloc holds."""
    sizes = [allocated(sys.getsizeof(each)) for each in objects]
    return sum(sizes), sum(size for size in sizes if size > LARGEST_SMALL)


# What a part hands to the ledger: called now and then, from another thread; must be quick and must not block.
MemoryReporter = Callable[[], Iterable[MemoryReport]]
