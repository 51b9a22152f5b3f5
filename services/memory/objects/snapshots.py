"""Snapshots on disk: a census with the address of every object, so that any two can be compared later.

Objects are written and read in the forked child alone: this process never holds them. Plain arrays and JSON in an npz
file, no pickle.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.checked_text import ARCHIVE_ERRORS, with_checksum, without_checksum
from services.core.errors import DamagedError, NotFoundError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder, remove_unfinished, write_whole
from services.memory.objects.heap import Ints, ObjectHeap, type_name
from services.memory.objects.types import Census, ContainerCount, TypeCount

MOST_SNAPSHOTS = 20
MOST_BYTES = 400 * MEGABYTE
_REMOVED_KEPT = 100  # of which it is still known why they were removed
_SUFFIXES = (".npz", ".census", ".json")
_NAME = re.compile(r"\d{8}-\d{6}-\d{3}(?:-[0-9a-f]{4})?")
_LARGEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a snapshot without reading its objects; `kept`: never removed to make room for newer ones."""

    name: str
    time: float
    objects: int
    bytes: int
    label: str = ""
    kept: bool = False
    run: int = 0  # identifies the process: addresses mean nothing in another
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """The objects of a snapshot in the order of their addresses.

    (n,) `addresses`, `kinds` as indices into `types`, `sizes` in bytes, `lengths` of containers (0 for other objects),
    `watching` for objects that belong to the watching itself.
    """

    types: list[str]
    addresses: Ints
    kinds: NDArray[np.uint32]
    sizes: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    watching: NDArray[np.bool_]

    def select(self, type_name: str) -> NDArray[np.bool_]:
        """Return a mask of the objects of a type."""
        number = self.types.index(type_name) if type_name in self.types else -1
        return np.equal(self.kinds, number) if number >= 0 else np.zeros(len(self.kinds), dtype=bool)


class SnapshotFolder:
    """The stored snapshots, bounded in number and bytes; the oldest are removed first unless they are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._removed: OrderedDict[str, str] = OrderedDict()

    def path(self, name: str) -> Path:
        """Return a snapshot's file.

        Raises:
            NotFoundError: there is no snapshot of that name.
        """
        path = self.folder / f"{name}.npz"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NotFoundError(self.removal(name), _("Choose another, or take a new one."))
        return path

    def removal(self, name: str) -> str:
        """Return in words what became of a snapshot that is not there any more."""
        if not _NAME.fullmatch(name):
            return _("There is no such snapshot.")
        taken = datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        reason = self._removed.get(name, "")
        return _("The snapshot of {moment} was removed{reason}.").format(
            moment=f"{taken:%Y-%m-%d %H:%M:%S} UTC", reason=f": {reason}" if reason else ""
        )

    def prepare(self, snapshot: Snapshot) -> Path:
        """Make room for a new snapshot and return the path to write it to."""
        make_folder(self.folder)
        remove_unfinished(self.folder)
        for path in self.folder.iterdir():
            # Left by a child or a process that was killed.
            whole = path.with_suffix(".npz").exists() and path.with_suffix(".json").exists()
            if path.suffix == ".part" or (path.suffix in _SUFFIXES and not whole):
                path.unlink(missing_ok=True)
        self._prune()
        return self.folder / f"{snapshot.name}.npz"

    def all(self) -> list[Snapshot]:
        """Return the snapshots, oldest first."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            # A list has what can be opened: the file with the objects is removed last, and written first.
            if _NAME.fullmatch(path.stem) and path.with_suffix(".npz").is_file():
                with suppress(OSError, ValueError, TypeError):
                    found.append(Snapshot(**json.loads(without_checksum(path.read_bytes()))))
        return found

    def damaged(self) -> list[str]:
        """Return the names of the snapshots that cannot be opened, because a file of theirs is damaged or missing."""
        whole = {snapshot.name for snapshot in self.all() if self._has_census(snapshot.name)}
        names = {path.stem for path in self.folder.glob("*") if path.suffix in _SUFFIXES and _NAME.fullmatch(path.stem)}
        return sorted(names - whole)

    def _has_census(self, name: str) -> bool:
        try:
            return bool(without_checksum((self.folder / f"{name}.census").read_bytes()))
        except (OSError, ValueError):
            return False

    def delete(self, name: str, reason: str = "") -> None:
        """Remove a snapshot; `reason` is said to whoever asks for it afterwards."""
        objects = self.path(name)
        self._removed[name] = reason or _("somebody deleted it")
        while len(self._removed) > _REMOVED_KEPT:
            self._removed.popitem(last=False)
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        (self.folder / f"{name}.census").unlink(missing_ok=True)
        objects.unlink(missing_ok=True)

    def keep(self, name: str, *, kept: bool) -> Snapshot:
        """Set whether a snapshot is kept as a baseline, never removed to make room."""
        changed = replace(self.info(name), kept=kept)
        self._write(f"{name}.json", asdict(changed))
        return changed

    def info(self, name: str) -> Snapshot:
        """Return a snapshot by name."""
        self.path(name)  # says what became of it
        for snapshot in self.all():
            if snapshot.name == name:
                return snapshot
        raise DamagedError(_("The snapshot {name} cannot be read.").format(name=name), _("Delete it."))

    def census(self, name: str) -> Census:
        """Return the census of a snapshot."""
        self.path(name)
        try:
            found = json.loads(without_checksum((self.folder / f"{name}.census").read_bytes()))
            found["types"] = {kind: TypeCount(**figures) for kind, figures in found["types"].items()}
            found["containers"] = tuple(ContainerCount(**container) for container in found["containers"])
            return Census(**found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self.path(name)  # it may have been removed meanwhile
            raise DamagedError(_("The snapshot {name} cannot be read.").format(name=name), _("Delete it.")) from error

    def record(self, snapshot: Snapshot, census: Census) -> None:
        """Record a snapshot whose objects have been written, and its census."""
        self._write(f"{snapshot.name}.census", asdict(census))
        self._write(f"{snapshot.name}.json", asdict(snapshot))

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_whole(self.folder / name, with_checksum(json.dumps(content).encode()))

    def _prune(self) -> None:
        known = self.all()
        spare = [snapshot for snapshot in known if not snapshot.kept] or known
        total = sum(snapshot.disk_bytes for snapshot in known)
        while spare and (len(known) >= MOST_SNAPSHOTS or total > MOST_BYTES):
            oldest = spare.pop(0)
            known.remove(oldest)
            total -= oldest.disk_bytes
            with suppress(NotFoundError):
                self.delete(oldest.name, _("to make room for newer ones"))
            spare = spare or list(known)


def write_objects(path: Path, heap: ObjectHeap, lengths: Ints, watching: NDArray[np.bool_]) -> int:
    """Write all objects of a heap, the lengths of containers, and which objects belong to the watching itself; return
    the size of the file in bytes.
    """
    order = np.argsort(heap.addresses, kind="stable")
    names: dict[str, int] = {}
    numbers = np.array([names.setdefault(type_name(kind), len(names)) for kind in heap.types], dtype=np.uint32)
    partial = path.with_suffix(".part")
    with create_file(partial) as file:
        np.savez(
            file,
            allow_pickle=False,
            types=np.frombuffer(json.dumps(list(names)).encode(), dtype=np.uint8),
            addresses=heap.addresses[order],
            kinds=numbers[heap.kinds[order]],
            sizes=np.minimum(heap.sizes[order], _LARGEST).astype(np.uint32),
            lengths=np.minimum(lengths[order], _LARGEST).astype(np.uint32),
            watching=watching[order],
        )
    partial.replace(path)
    return path.stat().st_size


def read_objects(path: Path) -> StoredObjects:
    """Read what `write_objects` wrote.

    Raises:
        DamagedError: the file is damaged or no snapshot.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            types: list[str] = json.loads(file["types"].tobytes())
            # Versions before did not tell the watching's own objects apart.
            watching = file["watching"] if "watching" in file.files else np.zeros(len(file["kinds"]), dtype=bool)
            columns = (file["addresses"], file["kinds"], file["sizes"], file["lengths"], watching)
            stored = StoredObjects(types, *columns)
    except (OSError, *ARCHIVE_ERRORS) as error:
        raise DamagedError(_("The snapshot {name} cannot be read.").format(name=path.stem), _("Delete it.")) from error
    if len({len(column) for column in columns}) > 1:
        raise DamagedError(_("The snapshot {name} cannot be read.").format(name=path.stem), _("Delete it."))
    return stored


def objects_in_both(first: StoredObjects, second: StoredObjects) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the objects of each that are in the other too: same address, same type."""
    mine, theirs = np.zeros(len(first.addresses), dtype=bool), np.zeros(len(second.addresses), dtype=bool)
    if not len(first.addresses) or not len(second.addresses):
        return mine, theirs
    place = np.minimum(np.searchsorted(second.addresses, first.addresses), len(second.addresses) - 1)
    numbers = {name: number for number, name in enumerate(second.types)}
    translated = np.array([numbers.get(name, -1) for name in first.types], dtype=np.int64)
    mine = (second.addresses[place] == first.addresses) & (translated[first.kinds] == second.kinds[place])
    theirs[place[mine]] = True
    return mine, theirs


def totals_by_type(stored: StoredObjects, chosen: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """Return count and bytes of the chosen objects by type."""
    length = len(stored.types)
    counts = np.bincount(stored.kinds[chosen], minlength=length)
    sizes = np.bincount(stored.kinds[chosen], weights=stored.sizes[chosen], minlength=length)
    return {name: (int(counts[n]), int(sizes[n])) for n, name in enumerate(stored.types) if counts[n]}


def compare_snapshots(before: Path, after: Path, *, watching: bool = False) -> list[list[Any]]:
    """Return for each type: name, then count and bytes of after, before, survived, new, gone.

    Without the objects of the watching itself unless `watching`.
    """
    first, second = read_objects(before), read_objects(after)
    old, kept = objects_in_both(first, second)
    mine = np.ones_like(kept) if watching else ~second.watching
    # What is in both counts in both as it does now; they are in one order, that of the addresses.
    before_watching = first.watching.copy()
    before_watching[old] = second.watching[kept]
    theirs = np.ones_like(old) if watching else ~before_watching
    tables = (
        totals_by_type(second, mine),
        totals_by_type(first, theirs),
        totals_by_type(second, mine & kept),
        totals_by_type(second, mine & ~kept),
        totals_by_type(first, theirs & ~old),
    )
    names: Iterable[str] = dict.fromkeys((*second.types, *first.types))
    rows = [[name, *(figure for table in tables for figure in table.get(name, (0, 0)))] for name in names]
    return [row for row in rows if row[1] or row[3]]


def surviving_objects(first: Path, second: Path, third: Path) -> dict[str, tuple[int, int]]:
    """Return by type what was created between the first and second snapshot and is still there in the third."""
    a, b, c = read_objects(first), read_objects(second), read_objects(third)
    in_a = objects_in_both(a, b)[1]
    in_c = objects_in_both(b, c)[0]
    return totals_by_type(b, ~in_a & in_c & ~b.watching)


def lengthened_containers(paths: Sequence[Path], most: int) -> list[list[int]]:
    """Return address and lengths of the containers that are longer in each snapshot than in the one before.

    The `most` that grew most, in that order.
    """
    stored = [read_objects(path) for path in paths]
    last = stored[-1]
    columns = [last.lengths.astype(np.int64)]
    remaining = (last.lengths > 0) & ~last.watching
    for earlier in reversed(stored[:-1]):
        mine, _theirs = objects_in_both(last, earlier)
        place = np.minimum(np.searchsorted(earlier.addresses, last.addresses), max(0, len(earlier.addresses) - 1))
        column = (
            np.where(mine, earlier.lengths[place].astype(np.int64), 0) if len(earlier.addresses) else 0 * columns[0]
        )
        remaining &= mine & (column < columns[0])
        columns.insert(0, column)
    chosen = np.flatnonzero(remaining)
    chosen = chosen[np.argsort(columns[0][chosen] - columns[-1][chosen], kind="stable")[:most]]
    return [[int(last.addresses[place]), *(int(column[place]) for column in columns)] for place in chosen]


def snapshot_ages(paths: Iterable[Path], addresses: Sequence[int], type_name: str) -> list[int]:
    """Return for each address in how many consecutive snapshots, back from the newest, it was of that type."""
    wanted = np.array(addresses, dtype=np.int64)
    age = np.zeros(len(addresses), dtype=np.int64)
    remaining = np.ones(len(addresses), dtype=bool)
    for path in paths:
        try:
            stored = read_objects(path)
        except DamagedError:
            continue
        remaining &= np.isin(wanted, stored.addresses[stored.select(type_name)])
        if not remaining.any():
            break
        age += remaining
    return [int(value) for value in age]
