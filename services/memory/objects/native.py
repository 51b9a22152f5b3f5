"""The data of arrays and tensors: native memory that the size of a Python object does not, or should not, include."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from services.memory.objects.heap import Heap, Ints
from services.memory.objects.naming import is_subtype


def native_sizes(heap: Heap) -> Ints:
    """Return for each object the bytes of native data that it owns, and add tensors' storage to the heap's sizes.

    A storage that several tensors share is counted with the first of them; data on a GPU is not counted.
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
    base = torch._C.TensorBase  # noqa: SLF001 - subclasses may override what torch.Tensor offers
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
