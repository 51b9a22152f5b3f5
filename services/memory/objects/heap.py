"""All objects of this process as arrays: addresses, types, sizes (native data of arrays and tensors too), references.

Made in a forked child (`services.memory.fork_snapshot`), which may hold every object until it exits. Nothing here runs
code of an inspected object: types are read by `type`, never by `isinstance`, attributes and names from the type's own
dictionary, and `__sizeof__` is called only where it is written in C.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Sequence
from itertools import chain, compress
from operator import not_
from types import FrameType, FunctionType, MethodDescriptorType, ModuleType, WrapperDescriptorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.memory.objects.threads import ThreadLocals

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
_CHUNK = 500_000
_HEADER_BYTES = 16  # of an object that the collector can track
_HAVE_GC = 1 << 14  # Py_TPFLAGS_HAVE_GC
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made at run time; the collector sees its references
_TYPE_DICT = type.__dict__["__dict__"]
_FLAGS = type.__dict__["__flags__"]
_MOST_ROUNDS = 50  # of following tuples and dictionaries that the collector no longer tracks
_NO_INTS = np.empty(0, dtype=np.int64)
_MRO = type.__dict__["__mro__"]
_QUALNAME = type.__dict__["__qualname__"]
_MODULE = type.__dict__["__module__"]
_NAMESPACE: Any = vars(ModuleType)["__dict__"]
_LONGEST_NAME = 160


class ObjectHeap:
    """The objects by index: first those that the collector tracks, then what they refer to that it does not.

    `addresses` and `sizes` (n,) int64 in bytes, `kinds` (n,) int32 index into `types`. Edges go from `sources` (m,)
    int32, an index, to `targets` (m,) int64, an address; both in the order of the sources.
    """

    def __init__(self, carried: ThreadLocals | None = None) -> None:
        """Read all objects now, and those that were carried over the fork."""
        prepare_child()
        own = {id(self), id(self.__dict__), *(carried.hidden() if carried else ())}
        # The oldest first: the newest objects have the highest indices.
        generations = [gc.get_objects(generation=generation) for generation in (2, 1, 0)]
        own |= {id(generations), *map(id, generations)}
        objects = [value for generation in generations for value in generation if id(value) not in own]
        self.tracked = len(objects)
        fresh = objects
        known = np.sort(np.fromiter(own, dtype=np.int64, count=len(own)))
        lengths: list[Ints] = []
        edges: list[Ints] = []
        untracked: list[object] = []
        for _round in range(_MOST_ROUNDS):
            counts, targets, fresh = _collect_references(fresh, known)
            if not lengths and carried:
                fresh = _with_untracked(fresh, carried)
            lengths.append(counts)
            edges.append(targets)
            if not fresh:
                break
            untracked.extend(fresh)
            found = np.fromiter(map(id, fresh), dtype=np.int64, count=len(fresh))
            known = np.sort(np.concatenate((known, found)))
        objects.extend(untracked)
        self.objects: list[object] = objects
        self.addresses: Ints = np.fromiter(map(id, objects), dtype=np.int64, count=len(objects))
        self._order = np.argsort(self.addresses, kind="stable")
        self._sorted = self.addresses[self._order]
        self.types, self.kinds = _type_indices(objects)
        counts, self.targets = self._with_hidden_references(_concatenate(lengths), _concatenate(edges), carried)
        self.starts: Ints = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
        self.sources: Indices = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self.sizes: Ints = _own_sizes(objects, self.types, self.kinds)

    def _with_hidden_references(self, counts: Ints, targets: Ints, carried: ThreadLocals | None) -> tuple[Ints, Ints]:
        """Add the references that the collector does not report.

        These are the dictionaries of types written in C, and the thread-locals of other threads.
        """
        hidden = [
            (index, id(mapping[0]))
            for number, meta in enumerate(self.types)
            if is_subtype(meta, type)
            for index in np.flatnonzero(self.kinds == number).tolist()
            if not _flags(value := self.objects[index]) & _HEAP_TYPE
            and (mapping := gc.get_referents(_TYPE_DICT.__get__(value)))  # empty for a type that is not ready yet
        ]
        if carried:
            hidden += [(place, id(content)) for value, content in carried.contents if (place := self.find(id(value)))]
        if not hidden:
            return counts, targets
        hidden.sort()
        places = np.array([place for place, _address in hidden], dtype=np.int64)
        ends = np.cumsum(counts)
        targets = np.insert(targets, ends[places], [address for _place, address in hidden])
        return counts + np.bincount(places, minlength=len(counts)), targets

    def __len__(self) -> int:
        return len(self.objects)

    def index(self, addresses: Ints) -> Ints:
        """Return the indices of objects by address, -1 for unknown addresses."""
        found = np.minimum(np.searchsorted(self._sorted, addresses), len(self._sorted) - 1)
        return np.where(self._sorted[found] == addresses, self._order[found], -1)

    def find(self, address: int) -> int | None:
        """Return the index of the object at `address`, None when there is none."""
        found = int(self.index(np.array([address], dtype=np.int64))[0])
        return found if found >= 0 else None

    def referents(self, index: int) -> Ints:
        """Return the addresses of what an object refers to."""
        return self.targets[self.starts[index] : self.starts[index + 1]]

    def referrers(self, address: int) -> Indices:
        """Return the indices of all objects that refer to the one at `address`."""
        found: Indices = self.sources[self.targets == address]
        return found


def prepare_child() -> None:
    """Prepare the child: unfreeze objects so that all are listed, and stop tracing, which would slow it down."""
    gc.disable()
    gc.unfreeze()
    if tracemalloc.is_tracing():
        tracemalloc.stop()


def _collect_references(objects: Sequence[object], known: Ints) -> tuple[Ints, Ints, list[object]]:
    """Return how many referents each object has, their addresses in order, and those neither tracked nor known."""
    referents, is_tracked = gc.get_referents, gc.is_tracked
    lengths: list[Ints] = []
    addresses: list[Ints] = []
    untracked: dict[int, object] = {}
    for start in range(0, len(objects), _CHUNK):
        chunk = objects[start : start + _CHUNK]
        # An untracked frame belongs to a thread that does not exist here: its memory may be gone.
        lists = [referents(value) if type(value) is not FrameType or is_tracked(value) else [] for value in chunk]
        lengths.append(np.fromiter(map(len, lists), dtype=np.int64, count=len(chunk)))
        flat = list(chain.from_iterable(lists))
        numbers = np.fromiter(map(id, flat), dtype=np.int64, count=len(flat))
        addresses.append(numbers)
        once, first = np.unique(numbers, return_index=True)
        fresh = first[~_contains(known, once)].tolist()
        values = list(compress(map(flat.__getitem__, fresh), map(not_, map(is_tracked, map(flat.__getitem__, fresh)))))
        untracked.update(zip(map(id, values), values, strict=True))
    return _concatenate(lengths), _concatenate(addresses), list(untracked.values())


def _with_untracked(untracked: list[object], carried: ThreadLocals) -> list[object]:
    """Add what only a local variable refers to: the collector tracks neither the frame nor, say, a string in it."""
    found = {id(value): value for value in untracked}
    for _thread, _function, _variable, value in carried.variables:
        if not gc.is_tracked(value):
            found.setdefault(id(value), value)
    return list(found.values())


def _contains(ordered: Ints, values: Ints) -> NDArray[np.bool_]:
    """Return which values are in an ordered array (np.isin goes through a hash table, ten times slower)."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    found = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    equal: NDArray[np.bool_] = ordered[found] == values
    return equal


def _concatenate(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else _NO_INTS


def _type_indices(objects: Sequence[object]) -> tuple[list[type], Indices]:
    """Return the types and for each object the index of its own."""
    kinds = list(map(type, objects))
    numbers = np.fromiter(map(id, kinds), dtype=np.int64, count=len(kinds))
    _addresses, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return [kinds[position] for position in first.tolist()], inverse.astype(np.int32).reshape(-1)


def _own_sizes(objects: Sequence[object], types: Sequence[type], kinds: Indices) -> Ints:
    """Return the own size of each object; a `__sizeof__` that is not written in C is not run."""
    sizes = np.zeros(len(objects), dtype=np.int64)
    trusted = np.array([_has_own_size(kind) for kind in types], dtype=bool)[kinds] if types else np.empty(0, dtype=bool)
    measurable = list(compress(objects, trusted.tolist()))
    try:
        sizes[trusted] = np.fromiter(map(sys.getsizeof, measurable), dtype=np.int64, count=len(measurable))
    except Exception:  # noqa: BLE001 - an extension type may raise anything: measure one by one
        sizes[trusted] = [own_size(value) for value in measurable]
    sizes[~trusted] = [own_size(value) for value in compress(objects, (~trusted).tolist())]
    return sizes


def own_size(value: object) -> int:
    """Return an object's own size in bytes, without what it refers to."""
    kind = type(value)
    if _has_own_size(kind):
        try:
            return sys.getsizeof(value)
        except Exception:  # noqa: BLE001 - an extension type may raise anything
            return 0
    return object.__sizeof__(value) + (_HEADER_BYTES if _flags(kind) & _HAVE_GC else 0)


def _flags(kind: object) -> int:
    return int(_FLAGS.__get__(kind))


def _has_own_size(kind: type) -> bool:
    for base in bases(kind):
        found = _TYPE_DICT.__get__(base).get("__sizeof__")
        if found is not None:
            return type(found) in {MethodDescriptorType, WrapperDescriptorType}
    return True


def bases(kind: type) -> tuple[type, ...]:
    """Return a type and its bases in method resolution order."""
    found = _MRO.__get__(kind)
    return found if type(found) is tuple else (kind,)


def is_subtype(kind: type, family: type) -> bool:
    """Return whether `kind` is `family` or derived from it; no metaclass is involved."""
    return any(base is family for base in bases(kind))


def type_name(kind: type) -> str:
    """Return a type's module and qualified name, "dict" and the like without a module."""
    name = _plain_text(_QUALNAME.__get__(kind)) or "?"
    try:
        module = _plain_text(_MODULE.__get__(kind))
    except AttributeError:
        module = ""
    return name if module in {"", "builtins"} else f"{module}.{name}"


def module_of(value: object) -> str:
    """Return the name of the module that a module, class or function is or comes from; "" for others."""
    kind = type(value)
    if is_subtype(kind, ModuleType):
        return module_name(value)  # type: ignore[arg-type] # its type was just checked
    if kind is FunctionType:
        return _plain_text(value.__module__)
    if is_subtype(kind, type):
        try:
            return _plain_text(_MODULE.__get__(value))
        except AttributeError:
            return ""
    return ""


def function_name(function: FunctionType) -> str:
    """Return a function's module and qualified name."""
    module, name = _plain_text(function.__module__), _plain_text(function.__qualname__)
    return f"{module}.{name}" if module else name


def module_name(module: ModuleType) -> str:
    """Return a module's name."""
    return _plain_text(namespace(module).get("__name__")) or "?"


def namespace(module: ModuleType) -> dict[str, object]:
    """Return a module's own dictionary.

    Not by attribute: the class of a lazy module may import things when one is read.
    """
    found = _NAMESPACE.__get__(module)
    return found if type(found) is dict else {}


def _plain_text(value: object) -> str:
    """Return a string, cut to a limit; "" for anything else, subclasses included."""
    return value[:_LONGEST_NAME] if type(value) is str else ""


def native_sizes(heap: ObjectHeap) -> Ints:
    """Return the bytes of native data that each object owns, and add the storage of tensors to the heap's sizes.

    A storage that several tensors share counts for the first of them; data on a GPU does not count.
    """
    native = np.zeros(len(heap), dtype=np.int64)
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    storages: set[int] = set()
    for number, kind in enumerate(heap.types):
        if is_subtype(kind, np.ndarray):
            for index in np.flatnonzero(heap.kinds == number).tolist():
                native[index] = _array_bytes(heap.objects[index])
        elif tensor is not None and is_subtype(kind, tensor):
            for index in np.flatnonzero(heap.kinds == number).tolist():
                native[index] = size = _storage_bytes(torch, heap.objects[index], storages)
                heap.sizes[index] += size
    return native


def _array_bytes(array: Any) -> int:
    if not np.ndarray.flags.__get__(array).owndata:
        return 0
    return int(np.ndarray.nbytes.__get__(array))


def _storage_bytes(torch: Any, tensor: Any, seen: set[int]) -> int:
    base = torch._C.TensorBase  # noqa: SLF001 - subclasses may override methods of torch.Tensor
    try:
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - the same
            if base.device.__get__(tensor).type != "cpu":
                return 0
            storage = base.untyped_storage(tensor)
            address, size = storage.data_ptr(), storage.nbytes()
    except Exception:  # noqa: BLE001 - a tensor without storage: sparse, on another device, made by an extension
        return 0
    if not address or address in seen:
        return 0
    seen.add(address)
    return int(size)
