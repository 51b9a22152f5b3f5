"""The size of a few Python objects with all they refer to, by a bounded walk.

Each step is short, so that other threads can run in between. Long containers are measured by a random sample and the
rest is inferred from it: a million entries cost as much as a thousand.
"""

from __future__ import annotations

import gc
import random
import sys
import types
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.core.memory_report import LARGEST_SMALL, MemoryReport, Owner, Region, allocated

# Entries of a container that are measured; the rest is inferred from them.
_SAMPLE_SIZE = 512
MOST_OBJECTS = 20_000
# Blocks of this size and more are reported by address.
_LARGE_BLOCK = 64 * 1024

_GC_HEADER = 16

# Types that are shared by everybody, or lead to everything: not part of what one owner holds.
_BOUNDARIES: tuple[type, ...] = (
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
    types.FrameType,
    types.GeneratorType,
    types.CoroutineType,
    weakref.ReferenceType,
    bool,
    type(None),
    type(Ellipsis),
)


@dataclass
class ObjectSize:
    """Bytes of Python objects (`large`: of these in objects over 512 bytes), and `native` bytes of arrays and tensors.

    `objects` and `arrays` are large blocks of both by address and length, included in `python` and `native`. `complete`
    is false when the walk ended at its limit, after `visited` objects.
    """

    python: float = 0.0
    large: float = 0.0
    native: float = 0.0
    objects: list[tuple[int, int]] = field(default_factory=list)
    arrays: list[tuple[int, int]] = field(default_factory=list)
    visited: int = 0
    complete: bool = True

    def add(self, other: ObjectSize) -> None:
        """Add another size to this one."""
        self.python += other.python
        self.large += other.large
        self.native += other.native
        self.objects += other.objects
        self.arrays += other.arrays
        self.visited += other.visited
        self.complete = self.complete and other.complete

    def without_addresses(self) -> ObjectSize:
        """Return the size without addresses, which may be outdated later."""
        return ObjectSize(self.python, self.large, self.native, complete=self.complete)

    def memory_reports(self, owner: Owner, name: str, detail: str, loads: int) -> list[MemoryReport]:
        """Return the size as reports to the ledger."""
        found = []
        if self.python:
            blocks = sum(length for _address, length in self.objects)
            found.append(
                MemoryReport(
                    name,
                    detail,
                    int(self.python),
                    loads,
                    owner=owner,
                    region=Region.PYTHON,
                    ranges=tuple(self.objects),
                    large=max(0, int(self.large) - blocks),
                )
            )
        if self.native:
            arrays = tuple(self.arrays)
            found.append(
                MemoryReport(name, detail, int(self.native), loads, owner=owner, region=Region.NATIVE, ranges=arrays)
            )
        return found


class ObjectSizer:
    """Measures objects, each once: what one call has visited counts as nothing in the next.

    Objects of `boundaries` types, with all that they refer to, belong to other owners and are left out.
    """

    def __init__(self, boundaries: Iterable[type] = ()) -> None:
        self._boundaries = (*_BOUNDARIES, *boundaries)
        self._seen: set[int] = set()
        self._random = random.Random(0)  # noqa: S311 - a sample, not a secret

    def measure(self, *roots: object, limit: int = MOST_OBJECTS) -> ObjectSize:
        """Return the size of `roots` and what they refer to, at most `limit` objects of it (1.5 microseconds each)."""
        total = ObjectSize()
        waiting: list[tuple[object, float]] = [(root, 1.0) for root in roots]
        while waiting:
            value, factor = waiting.pop()
            if id(value) in self._seen or issubclass(type(value), self._boundaries):
                continue
            if total.visited >= limit:
                total.complete = False
                break
            total.visited += 1
            self._seen.add(id(value))
            self._add(total, value, factor)
            children, times = self._sampled(_references(value))
            waiting += [(child, factor * times) for child in children]
        return total

    def _sampled(self, children: list[object]) -> tuple[list[object], float]:
        """Return the children to measure, and how many children each of them stands for."""
        if len(children) <= _SAMPLE_SIZE:
            return children, 1.0
        chosen = self._random.sample(children, _SAMPLE_SIZE)
        # An object that occurs many times counts once.
        different = len({id(child) for child in chosen}) / _SAMPLE_SIZE
        return chosen, max(1.0, different**2 * len(children) / _SAMPLE_SIZE)

    def _add(self, total: ObjectSize, value: object, factor: float) -> None:
        kind = type(value)
        size = _own_size(value, kind)
        data = _array_data(value, kind)
        if data is not None:
            address, length, inside = data
            size -= length if inside else 0
            total.native += factor * length
            if length >= _LARGE_BLOCK and factor == 1.0:
                total.arrays.append((address, length))
        total.python += factor * allocated(size)
        if size > LARGEST_SMALL:
            total.large += factor * allocated(size)
            if size >= _LARGE_BLOCK and factor == 1.0 and kind in {bytes, str}:
                total.objects.append((id(value), allocated(size)))


def _own_size(value: object, kind: type) -> int:
    # A `__sizeof__` written in Python, as that of pandas, includes what the object refers to.
    if type(kind.__sizeof__) is types.FunctionType:
        return object.__sizeof__(value) + _GC_HEADER
    return sys.getsizeof(value)


def _references(value: object) -> list[object]:
    kind = type(value)
    if kind is types.FunctionType:
        # Its closure, not the globals of its module.
        return [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]  # type: ignore[attr-defined]
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        base = [value.base] if value.base is not None else []  # type: ignore[attr-defined]
        return base + (value.ravel().tolist() if value.dtype.hasobject else [])  # type: ignore[attr-defined]
    return gc.get_referents(value)


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _array_data(value: object, kind: type) -> tuple[int, int, bool] | None:
    """Return (address, length, whether getsizeof counts them too) of an array's or tensor's own data."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        if not value.flags.owndata:  # type: ignore[attr-defined]
            return None
        return value.ctypes.data, value.nbytes, True  # type: ignore[attr-defined]
    if torch is not None and issubclass(kind, getattr(torch, "Tensor", ())):
        if value.device.type != "cpu" or value.layout is not torch.strided:  # type: ignore[attr-defined]
            return None
        storage = value.untyped_storage()  # type: ignore[attr-defined]
        return storage.data_ptr(), storage.nbytes(), False
    return None
