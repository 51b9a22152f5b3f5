"""What a look at the living objects yields. Nothing in here refers to an inspected object: names and numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.core.memory_report import Owner


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
    """A big container: how many entries, its type, and the shortest name found for it (module and attribute path).

    `held_bytes` are its own and those of everything whose shortest way from a module leads through it.
    """

    address: int
    type: str
    length: int
    name: str
    held_bytes: int = 0


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


@dataclass(frozen=True, slots=True)
class Lengthened:
    """A container that is longer in each of several snapshots: its type, its name, its numbers of entries."""

    type: str
    name: str
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """So many objects of so many bytes."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A type in two snapshots. An object that is in both has the same address and type in both.

    The last three are None when the snapshots are of different runs, whose addresses have nothing to do with each
    other.
    """

    type: str
    after: Amount
    before: Amount
    survived: Amount | None = None
    new: Amount | None = None
    gone: Amount | None = None

    @property
    def delta(self) -> Amount:
        """What was added, negative where it became less."""
        return Amount(self.after.count - self.before.count, self.after.bytes - self.before.bytes)


@dataclass(frozen=True, slots=True)
class ObjectView:
    """One object, as text and numbers. `age`: in how many snapshots in a row, back from the newest, it was there.

    `deep_bytes` are its own and those of all that it leads to; `deep_complete` is false when there was too much to
    follow. `part` is the module, class, function or thread that holds it, `name` the whole way from there.
    """

    address: int
    type: str
    bytes: int
    deep_bytes: int
    deep_complete: bool
    text: str
    name: str
    owner: Owner
    part: str
    age: int = 0


@dataclass(frozen=True, slots=True)
class Instances:
    """The biggest objects of a type; `total` counts all of them (since the baseline, when there is one)."""

    type: str
    total: int
    objects: tuple[ObjectView, ...]
    paused: float
    took: float


class Root(StrEnum):
    """What a way to an object begins with."""

    MODULE = "module"
    THREAD = "thread"
    NATIVE = "native"
    CYCLE = "cycle"


@dataclass(frozen=True, slots=True)
class PathStep:
    """One reference on the way from a root: how it is called, and what it leads to."""

    label: str
    name: str
    address: int


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An object in the graph of holders."""

    address: int
    type: str
    title: str
    bytes: int
    root: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A reference in the graph, by the addresses of both ends."""

    source: int
    target: int
    label: str


@dataclass(frozen=True, slots=True)
class RetentionPaths:
    """What holds an object: the shortest way from a root as `path`, and the ways over other holders as a graph.

    `referrers` counts everything that refers to it directly.
    """

    found: ObjectView
    root: Root
    path: tuple[PathStep, ...]
    nodes: tuple[GraphNode, ...]
    links: tuple[Link, ...]
    referrers: int
    paused: float
    took: float


@dataclass(frozen=True, slots=True)
class DeepSize:
    """What pympler's asizeof says of one owner, in all and by attribute.

    It broke off at those that `failed`; these were measured by following references instead.
    """

    owner: str
    bytes: int
    parts: tuple[tuple[str, int], ...]
    failed: tuple[str, ...]
    paused: float
    took: float


@dataclass(frozen=True, slots=True)
class Summary:
    """pympler's summary over all objects: name of type, count, bytes."""

    time: float
    rows: tuple[tuple[str, int, int], ...]
    paused: float
    took: float
