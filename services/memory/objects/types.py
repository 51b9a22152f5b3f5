"""Results of inspecting objects: names and numbers only, no reference to an inspected object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.core.memory_report import Owner


@dataclass(frozen=True, slots=True)
class TypeCount:
    """All objects of one type: how many, and their own bytes without what they refer to.

    `native` is the part of `bytes` that lies in native memory: the data of arrays and tensors. `watching_count` and
    `watching_bytes` are the part of `count` and `bytes` that belongs to the watching of memory itself.
    """

    count: int
    bytes: int
    native: int = 0
    watching_count: int = 0
    watching_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ContainerCount:
    """A large container: type, number of entries, and its shortest name (module and attribute path).

    `held_bytes` are its own and those of everything whose shortest path from a root leads through it. `evidence`
    identifies it beside the address, which may be used again. `watching`: it belongs to the watching of memory itself.
    """

    address: int
    type: str
    length: int
    name: str
    held_bytes: int = 0
    evidence: str = ""
    watching: bool = False


@dataclass(frozen=True, slots=True)
class Census:
    """All living objects that the collector tracks, and what they refer to, at one moment.

    `bytes` are the objects' own without `native_bytes` (data of arrays and tensors). `large_bytes` is the part of
    `bytes` in objects over 512 bytes, which come from malloc and not pymalloc.
    `paused` is how long other threads were stopped, `took` the whole duration, both in seconds. `watching_objects` and
    `watching_bytes` are the part of all of it that belongs to the watching of memory itself, censuses included.
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
    watching_objects: int = 0
    watching_bytes: int = 0

    @property
    def watching(self) -> Amount:
        """What belongs to the watching of memory itself, as lists show it in one line."""
        return Amount(self.watching_objects, self.watching_bytes)

    def shown_types(self, *, watching: bool = False) -> dict[str, TypeCount]:
        """Return the types that lists show: without the objects of the watching itself unless `watching`."""
        if watching:
            return dict(self.types)
        return {
            name: TypeCount(found.count - found.watching_count, found.bytes - found.watching_bytes, found.native)
            for name, found in self.types.items()
            if found.count > found.watching_count
        }

    def shown_containers(self, *, watching: bool = False) -> tuple[ContainerCount, ...]:
        """Return the containers that lists show: without those of the watching itself unless `watching`."""
        return tuple(container for container in self.containers if watching or not container.watching)


@dataclass(frozen=True, slots=True)
class LengthenedContainer:
    """A container that was longer in each snapshot than in the one before: type, name, numbers of entries."""

    type: str
    name: str
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of objects and their bytes."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A type in two snapshots. An object that is in both has the same address and type in both.

    The last three are None when the snapshots are of different processes, whose addresses cannot be compared.
    """

    type: str
    after: Amount
    before: Amount
    survived: Amount | None = None
    new: Amount | None = None
    gone: Amount | None = None

    @property
    def delta(self) -> Amount:
        """What was added; negative where objects were freed."""
        return Amount(self.after.count - self.before.count, self.after.bytes - self.before.bytes)


@dataclass(frozen=True, slots=True)
class ObjectView:
    """One object, as text and numbers. `age`: in how many consecutive snapshots, back from the newest, it was there.

    `deep_bytes` are its own and those of all it reaches; `deep_complete` is false when there was too much to follow.
    `part` is the module, class, function or thread that holds it, `name` the whole path from there. `evidence`
    identifies it beside its address, which another object may have after its end.
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
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Instances:
    """The largest objects of a type; `total` counts all of them (since the baseline, when there is one)."""

    type: str
    total: int
    objects: tuple[ObjectView, ...]
    paused: float
    took: float


class ObjectIdentity(StrEnum):
    """What is known of an object being the one that was listed.

    It is by a weak reference; its content or, beside other content, its place is the same; or nobody asked.
    """

    SAME = "same"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    UNCHECKED = "unchecked"


class PathRoot(StrEnum):
    """What a path to an object begins with."""

    MODULE = "module"
    THREAD = "thread"
    NATIVE = "native"
    CYCLE = "cycle"


@dataclass(frozen=True, slots=True)
class PathStep:
    """One reference on a path from a root: its label, and the object it leads to."""

    label: str
    name: str
    address: int


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An object in the graph of references."""

    address: int
    type: str
    title: str
    bytes: int
    root: bool


@dataclass(frozen=True, slots=True)
class GraphLink:
    """A reference in the graph, by the addresses of both objects."""

    source: int
    target: int
    label: str


@dataclass(frozen=True, slots=True)
class RetainedSize:
    """What would be freed if one object went: its own bytes and those of the objects that it alone keeps alive.

    A lower bound where not all that it reaches could be followed (`complete` is false): at most `most_objects`, and for
    at most `most_seconds`.
    """

    bytes: int
    objects: int
    complete: bool
    most_objects: int
    most_seconds: float


@dataclass(frozen=True, slots=True)
class RetentionPaths:
    """What retains an object: the shortest path from a root as `path`, and paths over other referrers as a graph.

    `referrers` is the number of objects that refer to it directly, `retained` what it retains itself.
    """

    found: ObjectView
    root: PathRoot
    path: tuple[PathStep, ...]
    nodes: tuple[GraphNode, ...]
    links: tuple[GraphLink, ...]
    referrers: int
    retained: RetainedSize
    paused: float
    took: float
    identity: ObjectIdentity = ObjectIdentity.UNCHECKED


@dataclass(frozen=True, slots=True)
class DeepSize:
    """The size of one owner by pympler's asizeof, in total and by attribute.

    Where it `failed`, attributes were measured by following references instead.
    """

    owner: str
    bytes: int
    parts: tuple[tuple[str, int], ...]
    failed: tuple[str, ...]
    paused: float
    took: float


@dataclass(frozen=True, slots=True)
class HeapSummary:
    """pympler's summary over all objects: rows of type name, count, bytes."""

    time: float
    rows: tuple[tuple[str, int, int], ...]
    paused: float
    took: float
