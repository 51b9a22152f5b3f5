"""Looks at the living objects without keeping them alive and without stopping the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.core.errors import BadInputError, NotFoundError
from services.core.i18n import _
from services.core.memory_report import Owner
from services.memory.clock import Clock
from services.memory.fork_snapshot import Forked, run_forked
from services.memory.objects import census, snapshots
from services.memory.objects.graph import ReferenceGraph
from services.memory.objects.heap import ObjectHeap, native_sizes
from services.memory.objects.repeat import RepeatRunner
from services.memory.objects.retention import RetentionFinder
from services.memory.objects.snapshots import Snapshot, SnapshotFolder
from services.memory.objects.threads import carrying
from services.memory.objects.types import (
    Amount,
    Census,
    ContainerCount,
    DeepSize,
    GraphNode,
    Instances,
    Lengthened,
    Link,
    ObjectView,
    PathStep,
    RetentionPaths,
    Root,
    Summary,
    TypeChange,
    TypeCount,
)

LOOK_SECONDS = 60.0
PYMPLER_SECONDS = 180.0
MOST_INSTANCES = 100
_COMPARISONS = 2
_COLLECTION_SECONDS = 1.5e-7  # for each object that the collector knows
_OBJECTS = 1_000_000  # taken for granted before the first census


class Inspector:
    """Takes censuses, compares them, shows objects and finds out what holds them.

    Every look runs in a forked child (`services.memory.fork_snapshot`); what comes back are names and numbers. Looks
    raise `MillpondError` when the process cannot be copied or the look takes too long.
    """

    def __init__(self, clock: Clock | None = None, folder: Path | None = None) -> None:
        self._clock = clock or Clock()
        self.run = int(self._clock.time() * 1000)
        self._folder = SnapshotFolder(folder) if folder else None
        self._owners: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._compared: OrderedDict[tuple[str, str], tuple[TypeChange, ...]] = OrderedDict()
        self._last: Census | None = None
        self.repeats = RepeatRunner(self, self._clock)

    def close(self) -> None:
        """End what is still being repeated."""
        self.repeats.close()

    @property
    def last(self) -> Census | None:
        """The newest census, None before the first."""
        return self._last

    def add_owner(self, name: str, get: Callable[[], object], label: str = "") -> None:
        """Offer something to be measured by asizeof under `name`; `get` is called in the forked child."""
        self._owners[name] = label or name, get

    def add_action(self, name: str, action: Callable[[], object], label: str = "") -> None:
        """Offer an action for repetition under `name`; see `services.memory.objects.repeat`."""
        self.repeats.add(name, action, label)

    @property
    def owners(self) -> dict[str, str]:
        """What `deep_size` can be asked about: what people call it, by name."""
        return {name: label for name, (label, _get) in self._owners.items()}

    def expected_collection(self) -> float:
        """Return for about how many seconds a full collection would stop every thread, judged by the last census."""
        return (self._last.tracked if self._last else _OBJECTS // 2) * _COLLECTION_SECONDS

    def expected_seconds(self) -> float:
        """Return about how long pympler would take for all objects, judged by the last census."""
        return (self._last.objects if self._last else _OBJECTS) * census.SECONDS_PER_OBJECT

    def census(self) -> Census:
        """Count all objects by type and name the biggest containers; about 2 s of CPU per million objects."""
        return self._census(None)

    def take(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Take a census and store it with every object's address, so that it can be compared."""
        folder = self._snapshots()
        moment = self._clock.time()
        name = f"{datetime.fromtimestamp(moment, UTC):%Y%m%d-%H%M%S-%f}"[:-3]
        planned = Snapshot(name, moment, 0, 0, label[:80], kept, self.run)
        path = folder.prepare(planned)
        taken = self._census(path)
        snapshot = replace(planned, objects=taken.objects, bytes=taken.bytes, disk_bytes=path.stat().st_size)
        folder.note(snapshot, taken)
        return snapshot

    def _census(self, path: Path | None) -> Census:
        moment = self._clock.time()

        def look() -> dict[str, Any]:
            heap = ObjectHeap(carried)
            native = native_sizes(heap)
            if path is not None:
                snapshots.write(path, heap, census.lengths(heap))
            return {
                "types": census.count(heap, native),
                "containers": census.containers(heap, ReferenceGraph(heap, carried)),
                "objects": len(heap),
                "tracked": heap.tracked,
                "bytes": int(heap.sizes.sum() - native.sum()),
                "native": int(native.sum()),
                "large": census.large_bytes(heap, native),
            }

        with carrying() as carried:
            found = run_forked(look, seconds=LOOK_SECONDS, what=_("census of objects"))
        value = found.value
        self._last = taken = Census(
            moment,
            {name: TypeCount(*figures) for name, figures in value["types"].items()},
            tuple(ContainerCount(*container) for container in value["containers"]),
            objects=value["objects"],
            bytes=value["bytes"],
            large_bytes=value["large"],
            paused=found.paused,
            took=found.took,
            native_bytes=value["native"],
            tracked=value["tracked"],
        )
        return taken

    def snapshots(self) -> list[Snapshot]:
        """Return the stored snapshots, oldest first."""
        return self._folder.all() if self._folder else []

    def snapshot(self, name: str) -> Census:
        """Return the census that a snapshot was made of."""
        return self._snapshots().census(name)

    def keep(self, name: str, *, kept: bool) -> Snapshot:
        """Keep a snapshot as a baseline, or let it make room for newer ones again."""
        return self._snapshots().keep(name, kept=kept)

    def delete(self, name: str) -> None:
        """Remove a snapshot."""
        self._snapshots().delete(name)

    def compare(self, before: str, after: str) -> tuple[TypeChange, ...]:
        """Compare two snapshots by type: how much there is, what survived, what is new, what is gone."""
        with self._lock:
            if known := self._compared.get((before, after)):
                return known
        folder = self._snapshots()
        first, second = folder.path(before), folder.path(after)
        same_run = folder.info(before).run == folder.info(after).run
        rows = run_forked(
            lambda: snapshots.compare(first, second), seconds=LOOK_SECONDS, what=_("comparison of censuses")
        ).value
        changes = tuple(_change(row, same_run=same_run) for row in rows)
        with self._lock:
            self._compared[before, after] = changes
            while len(self._compared) > _COMPARISONS:
                self._compared.popitem(last=False)
        return changes

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]:
        """Return by type what came between the first two snapshots and is still there in the third."""
        folder = self._snapshots()
        paths = [folder.path(name) for name in (first, second, third)]
        found = run_forked(
            lambda: snapshots.survivors(*paths), seconds=LOOK_SECONDS, what=_("comparison of censuses")
        ).value
        return {name: Amount(*amount) for name, amount in found.items()}

    def lengthened(self, *names: str, most: int = 50) -> tuple[Lengthened, ...]:
        """Return the containers that were longer in each of some snapshots than in the one before, as named now."""
        paths = [self._snapshots().path(name) for name in names]

        def look(looker: RetentionFinder) -> dict[str, Any]:
            found = snapshots.lengthened(paths, most)
            return {"found": [(*named, lengths) for address, *lengths in found if (named := looker.container(address))]}

        found = self._look(look).value["found"]
        return tuple(Lengthened(kind, name, tuple(lengths)) for kind, name, lengths in found)

    def instances(self, kind: str, *, since: str = "", limit: int = 20) -> Instances:
        """Return the biggest objects of a type, only those that are not in the snapshot `since` if there is one.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        if not 1 <= limit <= MOST_INSTANCES:
            raise BadInputError(_("Between 1 and {most} objects can be shown.").format(most=MOST_INSTANCES))
        before = self._snapshots().path(since) if since else None
        mine = [snapshot.name for snapshot in reversed(self.snapshots()) if snapshot.run == self.run]
        stored = [self._snapshots().path(name) for name in mine]

        def look(looker: RetentionFinder) -> dict[str, Any]:
            known = None
            if before is not None:
                earlier = snapshots.read(before)
                known = earlier.addresses[earlier.select(kind)]
            total, found = looker.instances(kind, known, limit)
            ages = snapshots.ages(stored, [entry["address"] for entry in found], kind)
            return {"total": total, "objects": [{**entry, "age": age} for entry, age in zip(found, ages, strict=True)]}

        found = self._look(look)
        objects = tuple(_view(entry) for entry in found.value["objects"])
        return Instances(kind, found.value["total"], objects, found.paused, found.took)

    def holders(self, address: int, kind: str) -> RetentionPaths:
        """Return what holds the object of type `kind` at `address`.

        Raises:
            NotFoundError: it is gone.
        """
        found = self._look(lambda looker: looker.holders(address, kind))
        value = found.value
        return RetentionPaths(
            _view(value["found"]),
            Root(value["root"]),
            tuple(PathStep(**step) for step in value["path"]),
            tuple(GraphNode(**node) for node in value["nodes"]),
            tuple(Link(**link) for link in value["links"]),
            value["referrers"],
            found.paused,
            found.took,
        )

    def deep_size(self, owner: str) -> DeepSize:
        """Return what pympler's asizeof says of an owner that was added; about 9 microseconds per object.

        Raises:
            NotFoundError: there is no such owner.
        """
        label, get = self._owners.get(owner, ("", None))
        if get is None:
            raise NotFoundError(_("Nothing is registered under this name."), _("Choose one that is listed."))
        census.load()
        found = run_forked(lambda: census.deep_size(get), seconds=PYMPLER_SECONDS, what=_("deep size"))
        value = found.value
        parts = tuple((name, size) for name, size in value["parts"])
        return DeepSize(label, value["bytes"], parts, tuple(value["failed"]), found.paused, found.took)

    def summary(self) -> Summary:
        """Return pympler's summary over all objects; about 9 microseconds per object."""
        census.load()
        found = run_forked(census.summary, seconds=PYMPLER_SECONDS, what=_("summary of objects"))
        rows = tuple((name, count, size) for name, count, size in found.value)
        return Summary(self._clock.time(), rows, found.paused, found.took)

    def _look(self, ask: Callable[[RetentionFinder], dict[str, Any]]) -> Forked[dict[str, Any]]:
        def look() -> dict[str, Any]:
            heap = ObjectHeap(carried)
            return ask(RetentionFinder(heap, ReferenceGraph(heap, carried)))

        with carrying() as carried:
            return run_forked(look, seconds=LOOK_SECONDS, what=_("look at objects"))

    def _snapshots(self) -> SnapshotFolder:
        if self._folder is None:
            raise BadInputError(_("No folder was given for snapshots."))
        return self._folder


def _view(entry: dict[str, Any]) -> ObjectView:
    return ObjectView(**(entry | {"owner": Owner(entry["owner"])}))


def _change(row: list[Any], *, same_run: bool) -> TypeChange:
    amounts = [Amount(row[place], row[place + 1]) for place in range(1, len(row), 2)]
    after, before, survived, new, gone = amounts
    return TypeChange(row[0], after, before, *((survived, new, gone) if same_run else ()))
