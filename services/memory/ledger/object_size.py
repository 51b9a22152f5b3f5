"""What a few Python objects weigh together with what only they refer to: a walk that is bounded and can be interrupted.

Every step is short, so other threads get their turn between any two of them. Of a long container a random sample is
weighed and the rest inferred from it, so that a million entries cost as much as a thousand.
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

# Entries of a container that are weighed; more are inferred from so many.
_SAMPLE = 512
MOST_OBJECTS = 20_000
# Single blocks from this size on are reported by their address.
_BLOCK = 64 * 1024

_COLLECTOR_HEADER = 16

# Shared by everybody, or a way into everything: not part of what one owner holds.
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
    """Bytes of Python objects, of these in objects over 512 bytes, and of arrays and tensors; the blocks of both by
    address and length, which `python` and `native` contain; `visited` objects were looked at, and `complete` is false
    when that was the limit."""

    python: float = 0.0
    large: float = 0.0
    native: float = 0.0
    objects: list[tuple[int, int]] = field(default_factory=list)
    arrays: list[tuple[int, int]] = field(default_factory=list)
    visited: int = 0
    complete: bool = True

    def add(self, other: ObjectSize) -> None:
        """Take another weight in."""
        self.python += other.python
        self.large += other.large
        self.native += other.native
        self.objects += other.objects
        self.arrays += other.arrays
        self.visited += other.visited
        self.complete = self.complete and other.complete

    def without_addresses(self) -> ObjectSize:
        """Return the same for later, when things may lie elsewhere."""
        return ObjectSize(self.python, self.large, self.native, complete=self.complete)

    def resources(self, owner: Owner, name: str, detail: str, loads: int) -> list[MemoryReport]:
        """Return the weight as reports to the ledger."""
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
    """Weighs objects, each once: what one call has seen weighs nothing in the next. `boundaries` are types whose
    objects, with all that they refer to, belong to somebody else."""

    def __init__(self, boundaries: Iterable[type] = ()) -> None:
        self._boundaries = (*_BOUNDARIES, *boundaries)
        self._seen: set[int] = set()
        self._random = random.Random(0)  # noqa: S311 - a sample, not a secret

    def weigh(self, *roots: object, most: int = MOST_OBJECTS) -> ObjectSize:
        """Weigh `roots` and what they refer to, `most` objects of it (1.5 microseconds each)."""
        weight = ObjectSize()
        waiting: list[tuple[object, float]] = [(root, 1.0) for root in roots]
        while waiting:
            thing, factor = waiting.pop()
            if id(thing) in self._seen or issubclass(type(thing), self._boundaries):
                continue
            if weight.visited >= most:
                weight.complete = False
                break
            weight.visited += 1
            self._seen.add(id(thing))
            self._add(weight, thing, factor)
            children, times = self._sampled(_references(thing))
            waiting += [(child, factor * times) for child in children]
        return weight

    def _sampled(self, children: list[object]) -> tuple[list[object], float]:
        """Return the children to weigh, and for how many each of them stands."""
        if len(children) <= _SAMPLE:
            return children, 1.0
        chosen = self._random.sample(children, _SAMPLE)
        # The same object many times over is no more than one object.
        different = len({id(child) for child in chosen}) / _SAMPLE
        return chosen, max(1.0, different**2 * len(children) / _SAMPLE)

    def _add(self, weight: ObjectSize, thing: object, factor: float) -> None:
        kind = type(thing)
        size = _own_size(thing, kind)
        data = _array(thing, kind)
        if data is not None:
            address, length, inside = data
            size -= length if inside else 0
            weight.native += factor * length
            if length >= _BLOCK and factor == 1.0:
                weight.arrays.append((address, length))
        weight.python += factor * allocated(size)
        if size > LARGEST_SMALL:
            weight.large += factor * allocated(size)
            if size >= _BLOCK and factor == 1.0 and kind in {bytes, str}:
                weight.objects.append((id(thing), allocated(size)))


def _own_size(thing: object, kind: type) -> int:
    # Where a class counts in Python, as pandas does, it counts what it refers to as well.
    if type(kind.__sizeof__) is types.FunctionType:
        return object.__sizeof__(thing) + _COLLECTOR_HEADER
    return sys.getsizeof(thing)


def _references(thing: object) -> list[object]:
    kind = type(thing)
    if kind is types.FunctionType:
        # What it was made with, not the module that it is from.
        return [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]  # type: ignore[attr-defined]
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        base = [thing.base] if thing.base is not None else []  # type: ignore[attr-defined]
        return base + (thing.ravel().tolist() if thing.dtype.hasobject else [])  # type: ignore[attr-defined]
    return gc.get_referents(thing)


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _array(thing: object, kind: type) -> tuple[int, int, bool] | None:
    """Return (address, length, whether getsizeof counts them too) of an array's or tensor's own data."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        if not thing.flags.owndata:  # type: ignore[attr-defined]
            return None
        return thing.ctypes.data, thing.nbytes, True  # type: ignore[attr-defined]
    if torch is not None and issubclass(kind, getattr(torch, "Tensor", ())):
        if thing.device.type != "cpu" or thing.layout is not torch.strided:  # type: ignore[attr-defined]
            return None
        storage = thing.untyped_storage()  # type: ignore[attr-defined]
        return storage.data_ptr(), storage.nbytes(), False
    return None
