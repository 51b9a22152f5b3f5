"""Memory reports: the large things that a component holds in RAM, with the owner they count for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Owner(StrEnum):
    """Owner of a byte of RSS. Charts stack and tables list them in this order."""

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
    WATCHING = "watching"  # what the watching of memory itself holds: history, readings, censuses, traces, chart data
    GPU_HOST = "gpu_host"
    FILES = "mapped_files"
    UNNAMED = "unnamed"


class Region(StrEnum):
    """Where the bytes of a report lie, so that they are taken from the right part of RSS and never counted twice."""

    PYTHON = "python"  # Python objects of any size: pymalloc, and malloc for those over 512 bytes
    NATIVE = "native"  # malloc: tensors, arrays, C and C++ libraries
    MAPPED = "mapped"  # mappings of its own; `ranges` says which
    ELSEWHERE = "elsewhere"  # not in this process's RSS: GPU, child processes, disk


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Something that the process holds: what it is, its size in bytes, how often it was loaded.

    `ranges` are (address, length in bytes) of the memory itself where it is known (tensors, index codes): the ledger
    then counts what of it is resident. `files` are (path, bytes of it in `bytes`) of mapped files that belong to it as
    a whole. What `bytes` has beyond the two is an estimate; `large` is how much of that is in Python objects over 512
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
    def estimated(self) -> int:
        """Bytes that neither an address nor a file backs."""
        backed = sum(length for _address, length in self.ranges) + sum(size for _path, size in self.files)
        return max(0, self.bytes - backed)


# pymalloc allocates objects up to this size, malloc larger ones; both round up to 16 bytes, and malloc adds a word.
LARGEST_SMALL = 512
_ALIGNMENT = 16
_WORD = 8


def allocated(size: int) -> int:
    """Return the bytes that an allocator uses for an object of `size` bytes."""
    return -(-(size + _WORD if size > LARGEST_SMALL else size) // _ALIGNMENT) * _ALIGNMENT


def object_bytes(objects: Iterable[object]) -> tuple[int, int]:
    """Return the allocated bytes of Python objects, without what they refer to, and how many of these malloc holds."""
    sizes = [allocated(sys.getsizeof(each)) for each in objects]
    return sum(sizes), sum(size for size in sizes if size > LARGEST_SMALL)


# Called by the ledger from time to time, in another thread; must be quick and must not block.
MemoryReporter = Callable[[], Iterable[MemoryReport]]
