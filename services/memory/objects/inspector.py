"""Inspection of living objects, without keeping them alive and without stopping the process."""

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
from services.memory.fork_snapshot import ForkResult, run_in_fork
from services.memory.objects import census, snapshots
from services.memory.objects.graph import ReferenceGraph
from services.memory.objects.heap import ObjectHeap, native_sizes
from services.memory.objects.names import OwnerRules
from services.memory.objects.repeat import RepeatRunner
from services.memory.objects.retention import RetentionFinder
from services.memory.objects.snapshots import Snapshot, SnapshotFolder
from services.memory.objects.threads import carry_thread_locals
from services.memory.objects.types import (
    Amount,
    Census,
    ContainerCount,
    DeepSize,
    GraphLink,
    GraphNode,
    HeapSummary,
    Instances,
    LengthenedContainer,
    ObjectView,
    PathRoot,
    PathStep,
    RetentionPaths,
    TypeChange,
    TypeCount,
)

INSPECTION_SECONDS = 60.0
PYMPLER_SECONDS = 180.0
MOST_INSTANCES = 100
_COMPARISONS = 2
_COLLECTION_SECONDS_PER_OBJECT = 1.5e-7  # per object that the collector tracks
_ASSUMED_OBJECTS = 1_000_000  # assumed before the first census


class Inspector:
    """Takes censuses and snapshots, compares them, describes objects and finds what retains them.

    Every inspection runs in a forked child (`services.memory.fork_snapshot`) and returns names and numbers only. All
    raise `MillpondError` when the process cannot be forked or the inspection takes too long.
    """

    def __init__(self, clock: Clock | None = None, folder: Path | None = None) -> None:
        self._clock = clock or Clock()
        self.owner_rules = OwnerRules()
        self.run = int(self._clock.time() * 1000)
        self._folder = SnapshotFolder(folder) if folder else None
        self._owners: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._compared: OrderedDict[tuple[str, str], tuple[TypeChange, ...]] = OrderedDict()
        self._last: Census | None = None
        self.repeats = RepeatRunner(self, self._clock)

    def close(self) -> None:
        """Cancel the series of repetitions that is running, and wait for its end."""
        self.repeats.close()

    @property
    def last(self) -> Census | None:
        """The newest census, None before the first."""
        return self._last

    def add_owner(self, name: str, get: Callable[[], object], label: str = "") -> None:
        """Register something to be measured by `deep_size` under `name`; `get` is called in the forked child."""
        self._owners[name] = label or name, get

    def add_action(self, name: str, action: Callable[[], object], label: str = "") -> None:
        """Register an action for repetition under `name`; see `services.memory.objects.repeat`."""
        self.repeats.add(name, action, label)

    @property
    def owners(self) -> dict[str, str]:
        """The labels of what `deep_size` can measure, by name."""
        return {name: label for name, (label, _get) in self._owners.items()}

    def expected_collection_seconds(self) -> float:
        """Return the estimated seconds for which a full collection would stop all threads, from the last census."""
        return (self._last.tracked if self._last else _ASSUMED_OBJECTS // 2) * _COLLECTION_SECONDS_PER_OBJECT

    def expected_pympler_seconds(self) -> float:
        """Return the estimated seconds that pympler takes for all objects, from the last census."""
        return (self._last.objects if self._last else _ASSUMED_OBJECTS) * census.SECONDS_PER_OBJECT

    def take_census(self) -> Census:
        """Count all objects by type and name the largest containers; about 2 s of CPU per million objects."""
        return self._census(None)

    def take_snapshot(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Take a census and store it with the address of every object, so that it can be compared."""
        folder = self._snapshots()
        moment = self._clock.time()
        name = f"{datetime.fromtimestamp(moment, UTC):%Y%m%d-%H%M%S-%f}"[:-3]
        planned = Snapshot(name, moment, 0, 0, label[:80], kept, self.run)
        path = folder.prepare(planned)
        taken = self._census(path)
        snapshot = replace(planned, objects=taken.objects, bytes=taken.bytes, disk_bytes=path.stat().st_size)
        folder.record(snapshot, taken)
        return snapshot

    def _census(self, path: Path | None) -> Census:
        moment = self._clock.time()

        def count() -> dict[str, Any]:
            heap = ObjectHeap(carried)
            native = native_sizes(heap)
            if path is not None:
                snapshots.write_objects(path, heap, census.container_lengths(heap))
            return {
                "types": census.count_types(heap, native),
                "containers": census.largest_containers(heap, ReferenceGraph(heap, carried)),
                "objects": len(heap),
                "tracked": heap.tracked,
                "bytes": int(heap.sizes.sum() - native.sum()),
                "native": int(native.sum()),
                "large": census.large_bytes(heap, native),
            }

        with carry_thread_locals() as carried:
            found = run_in_fork(count, seconds=INSPECTION_SECONDS, what=_("census of objects"))
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
        """Return the census of a snapshot."""
        return self._snapshots().census(name)

    def keep(self, name: str, *, kept: bool) -> Snapshot:
        """Keep a snapshot as a baseline, or allow its removal again when newer ones need room."""
        return self._snapshots().keep(name, kept=kept)

    def delete(self, name: str) -> None:
        """Remove a snapshot."""
        self._snapshots().delete(name)

    def compare(self, before: str, after: str) -> tuple[TypeChange, ...]:
        """Compare two snapshots by type: amounts before and after, what survived, what is new, what is gone."""
        with self._lock:
            if known := self._compared.get((before, after)):
                return known
        folder = self._snapshots()
        first, second = folder.path(before), folder.path(after)
        same_run = folder.info(before).run == folder.info(after).run
        rows = run_in_fork(
            lambda: snapshots.compare_snapshots(first, second),
            seconds=INSPECTION_SECONDS,
            what=_("comparison of censuses"),
        ).value
        changes = tuple(_type_change(row, same_run=same_run) for row in rows)
        with self._lock:
            self._compared[before, after] = changes
            while len(self._compared) > _COMPARISONS:
                self._compared.popitem(last=False)
        return changes

    def survivors(self, first: str, second: str, third: str) -> dict[str, Amount]:
        """Return by type what was created between the first two snapshots and is still there in the third."""
        folder = self._snapshots()
        paths = [folder.path(name) for name in (first, second, third)]
        found = run_in_fork(
            lambda: snapshots.surviving_objects(*paths), seconds=INSPECTION_SECONDS, what=_("comparison of censuses")
        ).value
        return {name: Amount(*amount) for name, amount in found.items()}

    def lengthened_containers(self, *names: str, most: int = 50) -> tuple[LengthenedContainer, ...]:
        """Return the containers that were longer in each snapshot than in the one before, under their present names."""
        paths = [self._snapshots().path(name) for name in names]

        def inspect(finder: RetentionFinder) -> dict[str, Any]:
            found = snapshots.lengthened_containers(paths, most)
            return {"found": [(*named, lengths) for address, *lengths in found if (named := finder.container(address))]}

        found = self._inspect(inspect).value["found"]
        return tuple(LengthenedContainer(kind, name, tuple(lengths)) for kind, name, lengths in found)

    def instances(self, kind: str, *, since: str = "", limit: int = 20) -> Instances:
        """Return the largest objects of a type, without those in the snapshot `since` if there is one.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        if not 1 <= limit <= MOST_INSTANCES:
            raise BadInputError(_("Between 1 and {most} objects can be shown.").format(most=MOST_INSTANCES))
        before = self._snapshots().path(since) if since else None
        mine = [snapshot.name for snapshot in reversed(self.snapshots()) if snapshot.run == self.run]
        stored = [self._snapshots().path(name) for name in mine]

        def inspect(finder: RetentionFinder) -> dict[str, Any]:
            known = None
            if before is not None:
                earlier = snapshots.read_objects(before)
                known = earlier.addresses[earlier.select(kind)]
            total, found = finder.instances(kind, known, limit)
            ages = snapshots.snapshot_ages(stored, [entry["address"] for entry in found], kind)
            return {"total": total, "objects": [{**entry, "age": age} for entry, age in zip(found, ages, strict=True)]}

        found = self._inspect(inspect)
        objects = tuple(_object_view(entry) for entry in found.value["objects"])
        return Instances(kind, found.value["total"], objects, found.paused, found.took)

    def retention_paths(self, address: int, kind: str) -> RetentionPaths:
        """Return what retains the object of type `kind` at `address`.

        Raises:
            NotFoundError: it is gone.
        """
        found = self._inspect(lambda finder: finder.retention_paths(address, kind))
        value = found.value
        return RetentionPaths(
            _object_view(value["found"]),
            PathRoot(value["root"]),
            tuple(PathStep(**step) for step in value["path"]),
            tuple(GraphNode(**node) for node in value["nodes"]),
            tuple(GraphLink(**link) for link in value["links"]),
            value["referrers"],
            found.paused,
            found.took,
        )

    def deep_size(self, owner: str) -> DeepSize:
        """Return the size of a registered owner by pympler's asizeof; about 9 microseconds per object.

        Raises:
            NotFoundError: there is no such owner.
        """
        label, get = self._owners.get(owner, ("", None))
        if get is None:
            raise NotFoundError(_("Nothing is registered under this name."), _("Choose one that is listed."))
        census.load_pympler()
        found = run_in_fork(lambda: census.pympler_deep_size(get), seconds=PYMPLER_SECONDS, what=_("deep size"))
        value = found.value
        parts = tuple((name, size) for name, size in value["parts"])
        return DeepSize(label, value["bytes"], parts, tuple(value["failed"]), found.paused, found.took)

    def summary(self) -> HeapSummary:
        """Return pympler's summary over all objects; about 9 microseconds per object."""
        census.load_pympler()
        found = run_in_fork(census.pympler_summary, seconds=PYMPLER_SECONDS, what=_("summary of objects"))
        rows = tuple((name, count, size) for name, count, size in found.value)
        return HeapSummary(self._clock.time(), rows, found.paused, found.took)

    def _inspect(self, inspect: Callable[[RetentionFinder], dict[str, Any]]) -> ForkResult[dict[str, Any]]:
        def inspect_heap() -> dict[str, Any]:
            heap = ObjectHeap(carried)
            return inspect(RetentionFinder(heap, ReferenceGraph(heap, carried), self.owner_rules))

        with carry_thread_locals() as carried:
            return run_in_fork(inspect_heap, seconds=INSPECTION_SECONDS, what=_("inspection of objects"))

    def _snapshots(self) -> SnapshotFolder:
        if self._folder is None:
            raise BadInputError(_("No folder was given for snapshots."))
        return self._folder


def _object_view(entry: dict[str, Any]) -> ObjectView:
    return ObjectView(**(entry | {"owner": Owner(entry["owner"])}))


def _type_change(row: list[Any], *, same_run: bool) -> TypeChange:
    amounts = [Amount(row[place], row[place + 1]) for place in range(1, len(row), 2)]
    after, before, survived, new, gone = amounts
    return TypeChange(row[0], after, before, *((survived, new, gone) if same_run else ()))
