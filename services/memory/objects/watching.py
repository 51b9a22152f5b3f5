"""Which objects belong to the watching of memory itself: its history, readings, censuses and code.

They are counted apart, so that the tool does not lead its own tables. In the forked child.
"""

from __future__ import annotations

from types import FunctionType, ModuleType

import numpy as np
from numpy.typing import NDArray

from services.core.memory_report import Owner
from services.memory.objects.graph import OUR_PACKAGES, ReferenceGraph
from services.memory.objects.heap import bases, is_subtype, module_of, type_name
from services.memory.objects.labels import global_name
from services.memory.objects.names import OwnerRules

_INHERITED, _OTHERS, _WATCHING = -1, 0, 1


def watching_mask(graph: ReferenceGraph, rules: OwnerRules) -> NDArray[np.bool_]:
    """Return for each object whether the watching owns it: by its own type or name, else by that of what holds it."""
    heap = graph.heap
    by_type = np.array([_by_type(kind, rules) for kind in heap.types], dtype=np.int8)
    own = by_type[heap.kinds] if len(heap) else np.empty(0, dtype=np.int8)
    for number, kind in enumerate(heap.types):
        if any(is_subtype(kind, family) for family in (ModuleType, type)) or kind is FunctionType:
            places = np.flatnonzero(heap.kinds == number)
            own[places] = [_by_name(heap.objects[place], rules) for place in places.tolist()]
    mask: NDArray[np.bool_] = own == _WATCHING
    for level in graph.levels:
        held = level[own[level] == _INHERITED]
        mask[held] = mask[graph.parents[held]]
    return mask


def _by_type(kind: type, rules: OwnerRules) -> int:
    names = [type_name(base) for base in bases(kind)[:-1]]
    return _judge(rules.find((name, True) for name in names), names[0] if names else "")


def _by_name(value: object, rules: OwnerRules) -> int:
    if not module_of(value).startswith(OUR_PACKAGES):
        return _INHERITED  # a library's, which the module that imported it may be the first to hold
    name = global_name(value)
    return _judge(rules.find([(name, False)]), name) if name else _INHERITED


def _judge(owner: Owner | None, name: str) -> int:
    if owner is Owner.WATCHING:
        return _WATCHING
    return _INHERITED if owner is None and name.partition(".")[0] not in OUR_PACKAGES else _OTHERS
