"""The control group (container) of this process: its memory use and limit, read from the kernel's files.

https://docs.kernel.org/admin-guide/cgroup-v2.html#memory and .../cgroup-v1/memory.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# In version 1 "no limit" is the largest number of pages.
_NO_LIMIT = 1 << 60
_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """The files of one memory controller: use, statistics, and the limits of the group and of its ancestors."""

    used: str
    stat: str
    inactive: bytes
    limits: tuple[str, ...]

    def used_bytes(self) -> int | None:
        """Return the bytes used by the group without inactive file pages, which the kernel can drop, as `kubectl top`
        counts."""
        used = _read_number(self.used)
        if used is None:
            return None
        return max(0, used - (parse_field(read_small_file(self.stat) or b"", self.inactive) or 0))

    def limit_bytes(self) -> int | None:
        """Return the lowest limit of the group and its ancestors in bytes, None without one."""
        limits = [limit for limit in map(_read_number, self.limits) if limit is not None and limit < _NO_LIMIT]
        return min(limits, default=None)


def find_group(proc: str = "/proc", root: str = "/sys/fs/cgroup") -> MemoryGroup | None:
    """Return the memory group of this process, None where there is none."""
    lines = (read_small_file(f"{proc}/self/cgroup") or b"").decode(errors="replace").splitlines()
    entries = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    for _id, controllers, path in entries:
        if "memory" in controllers.split(","):
            for folder in _candidate_folders(Path(root) / "memory", path):
                if (folder / "memory.usage_in_bytes").exists():
                    above = _limit_files(folder, Path(root) / "memory", "memory.limit_in_bytes")
                    stat = str(folder / "memory.stat")
                    return MemoryGroup(str(folder / "memory.usage_in_bytes"), stat, b"total_inactive_file", above)
    for number, controllers, path in entries:
        if number == "0" and not controllers:
            for folder in _candidate_folders(Path(root), path):
                if (folder / "memory.current").exists():
                    above = _limit_files(folder, Path(root), "memory.max")
                    return MemoryGroup(
                        str(folder / "memory.current"), str(folder / "memory.stat"), b"inactive_file", above
                    )
    return None


def _candidate_folders(root: Path, path: str) -> Iterator[Path]:
    """Yield the folders where the group may be: its path, or the root, where a container sees its own group."""
    if ".." not in PurePosixPath(path).parts:
        yield root / path.lstrip("/")
    yield root


def _limit_files(folder: Path, root: Path, name: str) -> tuple[str, ...]:
    folders = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return tuple(str(place / name) for place in folders if (place / name).exists())


def _read_number(path: str) -> int | None:
    text = (read_small_file(path) or b"").strip()
    return int(text) if text.isdigit() else None  # "max" is no limit


def read_small_file(path: str) -> bytes | None:
    """Return the contents of a small file, None where it is missing or not readable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _MAX_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_field(text: bytes, name: bytes) -> int | None:
    """Return the number after `name` at the start of a line, as in /proc/meminfo and memory.stat."""
    place = 0 if text.startswith(name) else text.find(b"\n" + name) + 1
    if place == 0 and not text.startswith(name):
        return None
    words = text[place + len(name) : place + len(name) + 40].split(maxsplit=1)
    return int(words[0]) if words and words[0].isdigit() else None
