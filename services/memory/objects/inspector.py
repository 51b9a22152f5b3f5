"""Inspection of living objects, without keeping them alive and without stopping the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.core.auditing import Action, AuditSink, Target, TargetKind
from services.core.errors import BadInputError, NotFoundError
from services.core.events import NullEventSink
from services.core.i18n import _
from services.core.memory_report import Owner
from services.memory.clock import Clock
from services.memory.fork_snapshot import ForkResult, run_in_fork
from services.memory.objects import census, snapshots
from services.memory.objects.graph import ReferenceGraph
from services.memory.objects.heap import ObjectHeap, native_sizes
from services.memory.objects.identity import Evidence, SeenObjects, digests
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
    ObjectIdentity,
    ObjectView,
    PathRoot,
    PathStep,
    RetainedSize,
    RetentionPaths,
    TypeChange,
    TypeCount,
)
from services.memory.objects.watching import watching_mask

# Many times what they take on a machine with nothing else to do.
INSPECTION_SECONDS = 180.0
PYMPLER_SECONDS = 360.0
MOST_INSTANCES = 100
_COMPARISONS = 2
_COLLECTION_SECONDS_PER_OBJECT = 1.5e-7  # per object that the collector tracks
_ASSUMED_OBJECTS = 1_000_000  # assumed before the first census


class Inspector:
    """Takes censuses and snapshots, compares them, describes objects and finds what retains them.

    Every inspection runs in a forked child (`services.memory.fork_snapshot`) and returns names and numbers only. All
    raise `MillpondError` when the process cannot be forked or the inspection takes too long.
    """

    def __init__(
        self, clock: Clock | None = None, folder: Path | None = None, *, audit: AuditSink | None = None
    ) -> None:
        self._audit: AuditSink = audit or NullEventSink()
        self._clock = clock or Clock()
        self.owner_rules = OwnerRules()
        self.run = int(self._clock.time() * 1000)
        self._folder = SnapshotFolder(folder) if folder else None
        self._owners: dict[str, tuple[str, Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._compared: OrderedDict[tuple[str, str, bool], tuple[TypeChange, ...]] = OrderedDict()
        self._seen = SeenObjects()
        self._taking = threading.Lock()
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
        """Count all objects by type and name the largest containers; about 2 s of CPU per million objects.

        For the watcher: it gives way to what somebody waits for.

        Raises:
            CancelledError: it gave way, or somebody cancelled it.
        """
        return self._census(None)

    def take_snapshot(self, label: str = "", *, kept: bool = False) -> Snapshot:
        """Take a census and store it with the address of every object, so that it can be compared."""
        # One at a time: making room for one must not take what another is writing.
        with self._taking:
            taken = self._take_snapshot(label, kept=kept)
        self._record(Action.OBJECTS_LOOKED_AT, Target(TargetKind.SNAPSHOT, taken.name), _("census"))
        return taken

    def _record(self, action: Action, target: Target, detail: str = "") -> None:
        self._audit.audit(None, action, target, detail=detail)

    def _take_snapshot(self, label: str, *, kept: bool) -> Snapshot:
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
            graph = ReferenceGraph(heap, carried)
            watching = watching_mask(graph, self.owner_rules)
            if path is not None:
                snapshots.write_objects(path, heap, census.container_lengths(heap), watching)
            return {
                "types": census.count_types(heap, native, watching),
                "containers": census.largest_containers(heap, graph, watching, self.run),
                "watching": (int(watching.sum()), int(heap.sizes[watching].sum())),
                "objects": len(heap),
                "tracked": heap.tracked,
                "bytes": int(heap.sizes.sum() - native.sum()),
                "native": int(native.sum()),
                "large": census.large_bytes(heap, native),
            }

        with carry_thread_locals() as carried:
            found = run_in_fork(count, seconds=INSPECTION_SECONDS, what=_("census of objects"), gives_way=path is None)
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
            watching_objects=value["watching"][0],
            watching_bytes=value["watching"][1],
        )
        return taken

    def snapshots(self) -> list[Snapshot]:
        """Return the stored snapshots, oldest first."""
        return self._folder.all() if self._folder else []

    def damaged_snapshots(self) -> list[str]:
        """Return the names of stored snapshots that cannot be opened."""
        return self._folder.damaged() if self._folder else []

    def removal(self, name: str) -> str:
        """Return in words what became of a snapshot that is not there any more."""
        return self._snapshots().removal(name)

    def snapshot(self, name: str) -> Census:
        """Return the census of a snapshot."""
        return self._snapshots().census(name)

    def keep(self, name: str, *, kept: bool) -> Snapshot:
        """Keep a snapshot as a baseline, or allow its removal again when newer ones need room."""
        snapshot = self._snapshots().keep(name, kept=kept)
        self._record(Action.SNAPSHOT_CHANGED, Target(TargetKind.SNAPSHOT, name))
        return snapshot

    def delete(self, name: str) -> None:
        """Remove a snapshot."""
        self._snapshots().delete(name)
        self._record(Action.SNAPSHOT_DELETED, Target(TargetKind.SNAPSHOT, name))

    def compare(self, before: str, after: str, *, watching: bool = False) -> tuple[TypeChange, ...]:
        """Compare two snapshots by type: amounts before and after, what survived, what is new, what is gone.

        The objects of the watching itself are left out unless `watching`.
        """
        with self._lock:
            if known := self._compared.get((before, after, watching)):
                return known
        folder = self._snapshots()
        first, second = folder.path(before), folder.path(after)
        same_run = folder.info(before).run == folder.info(after).run
        rows = run_in_fork(
            lambda: snapshots.compare_snapshots(first, second, watching=watching),
            seconds=INSPECTION_SECONDS,
            what=_("comparison of censuses"),
        ).value
        changes = tuple(_type_change(row, same_run=same_run) for row in rows)
        with self._lock:
            self._compared[before, after, watching] = changes
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

    def instances(self, kind: str, *, since: str = "", limit: int = 20, watching: bool = False) -> Instances:
        """Return the largest objects of a type, without those in the snapshot `since` if there is one.

        The objects of the watching itself are left out unless `watching`.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        if not 1 <= limit <= MOST_INSTANCES:
            raise BadInputError(_("Between 1 and {most} objects can be shown.").format(most=MOST_INSTANCES))
        before = self._snapshots().path(since) if since else None
        self._record(Action.OBJECTS_LOOKED_AT, Target(TargetKind.OBJECTS, kind), _("the largest of a type"))
        mine = [snapshot.name for snapshot in reversed(self.snapshots()) if snapshot.run == self.run]
        stored = [self._snapshots().folder / f"{name}.npz" for name in mine]

        def inspect(finder: RetentionFinder) -> dict[str, Any]:
            known = None
            if before is not None:
                earlier = snapshots.read_objects(before)
                known = earlier.addresses[earlier.select(kind)]
            total, found = finder.instances(kind, known, limit, watching=watching)
            ages = snapshots.snapshot_ages(stored, [entry["address"] for entry in found], kind)
            return {"total": total, "objects": [{**entry, "age": age} for entry, age in zip(found, ages, strict=True)]}

        found = self._inspect(inspect)
        entries = found.value["objects"]
        references = self._seen.refer({entry["address"]: entry["type"] for entry in entries if entry["referable"]})
        objects = tuple(self._object_view(entry, references.get(entry["address"], 0)) for entry in entries)
        return Instances(kind, found.value["total"], objects, found.paused, found.took)

    def retention_paths(self, address: int, kind: str, evidence: str = "") -> RetentionPaths:
        """Return what retains the object of type `kind` at `address`, the one that was listed with this evidence.

        Raises:
            NotFoundError: it is gone; the message says what is at its address now.
            BadInputError: this is no evidence.
        """
        listed = Evidence.parse(evidence)
        if listed is not None and listed.run != self.run:
            raise NotFoundError(
                _("This object was listed in another run of Millpond; its address means nothing in this one."),
                _("Reload the objects of its type."),
            )
        self._record(Action.OBJECTS_LOOKED_AT, Target(TargetKind.OBJECTS, kind), _("what holds one of a type"))
        alive = self._seen.is_alive(listed.reference, address) if listed and listed.reference else None
        found = self._inspect(lambda finder: finder.retention_paths(address, kind, listed, alive))
        value = found.value
        return RetentionPaths(
            self._object_view(value["found"], listed.reference if listed else 0),
            PathRoot(value["root"]),
            tuple(PathStep(**step) for step in value["path"]),
            tuple(GraphNode(**node) for node in value["nodes"]),
            tuple(GraphLink(**link) for link in value["links"]),
            value["referrers"],
            RetainedSize(**value["retained"]),
            found.paused,
            found.took,
            ObjectIdentity(value["identity"]),
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

    def _object_view(self, entry: dict[str, Any], reference: int) -> ObjectView:
        values = {name: value for name, value in entry.items() if name != "referable"}
        evidence = Evidence(self.run, reference, *digests(entry["text"], entry["name"]))
        return ObjectView(**(values | {"owner": Owner(entry["owner"]), "evidence": str(evidence)}))

    def _snapshots(self) -> SnapshotFolder:
        if self._folder is None:
            raise BadInputError(_("No folder was given for snapshots."))
        return self._folder


def _type_change(row: list[Any], *, same_run: bool) -> TypeChange:
    amounts = [Amount(row[place], row[place + 1]) for place in range(1, len(row), 2)]
    after, before, survived, new, gone = amounts
    return TypeChange(row[0], after, before, *((survived, new, gone) if same_run else ()))
