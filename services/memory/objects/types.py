"""What a look at the living objects yields. Nothing in here refers to an inspected object: names and numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TypeCount:
    """All objects of one type: how many, and their own bytes without what they refer to.

    `native` is the part of `bytes` that lies in native memory: the data of arrays and tensors.
    """

    count: int
    bytes: int
    native: int = 0


@dataclass(frozen=True, slots=True)
class ContainerCount:
    """A big container: how many entries, its type, and the shortest name found for it (module and attribute path)."""

    address: int
    type: str
    length: int
    name: str


@dataclass(frozen=True, slots=True)
class Census:
    """All living objects that the collector knows, and what they refer to directly, at one moment.

    `bytes` are the objects' own without `native_bytes` (data of arrays and tensors). `large_bytes` is the part of
    `bytes` in objects over 512 bytes, which malloc holds and not pymalloc.
    `paused` is how long other threads were stopped, `took` the whole duration, both in seconds.
    """

    time: float
    types: Mapping[str, TypeCount]
    containers: tuple[ContainerCount, ...]
    objects: int
    bytes: int
    large_bytes: int
    paused: float
    took: float
    native_bytes: int = 0
    tracked: int = 0
