"""Damages to the files of a data folder, and what a process finds over a damaged one: for the siege and for tests.

What is read is everything that is served and needs no model: documents, chunks, vectors, both indexes, originals,
conversations, settings, events, the history and the snapshots of memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.app.phases import open_platform
from services.app.startup import Application
from services.chat.conversations import Conversations
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import MillpondError
from services.core.events import EventKind
from services.core.settings import Settings
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.folder_store import FolderStore
from services.knowledge.index import IndexManager, IndexSnapshotStore
from services.knowledge.original_check import OriginalCheck
from services.knowledge.store import ChunkStore
from services.knowledge.store.chunks import ContentStore
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.documents import DocumentFilters, DocumentStore
from services.knowledge.store.lexical import LexicalStore
from services.memory.gc_experiment.result_store import ResultStore
from services.memory.monitor import MemoryMonitor
from services.memory.objects.snapshots import Snapshot, read_objects
from services.memory.tracing.types import SnapshotInfo

LOCK_FILE = "millpond.lock"
SECONDS = 10.0
_PAGE = 4096
Damage = Callable[[Path, random.Random], str]


def flip(path: Path, choice: random.Random) -> str:
    size = path.stat().st_size
    if not size:
        return ""
    place, bit = choice.randrange(size), choice.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        (old,) = file.read(1)
        file.seek(place)
        file.write(bytes([old ^ (1 << bit)]))
    return f"bit {bit} of byte {place} of {size}"


def zero_page(path: Path, choice: random.Random) -> str:
    size = path.stat().st_size
    if not size:
        return ""
    place = choice.randrange(size) // _PAGE * _PAGE
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes(min(_PAGE, size - place)))
    return f"zeros from byte {place} of {size}"


def cut(path: Path, choice: random.Random) -> str:
    size = path.stat().st_size
    if not size:
        return ""
    kept = choice.randrange(1, size) if size > 1 else 0
    if choice.random() < 0.5 and size > 2 * _PAGE:  # between two pages, where no record is torn
        kept = choice.randrange(1, size // _PAGE) * _PAGE
    os.truncate(path, kept)
    return f"cut to {kept} of {size} bytes"


def empty(path: Path, _choice: random.Random) -> str:
    os.truncate(path, 0)
    return "emptied"


def remove(path: Path, _choice: random.Random) -> str:
    path.unlink()
    return "removed"


def swap(path: Path, choice: random.Random) -> str:
    others = [other for other in files_of(_root(path)) if other != path and other.stat().st_size]
    other = choice.choice(others)
    content = other.read_bytes()
    shutil.copyfile(path, other)
    path.write_bytes(content)
    return f"swapped with {other.name}"


def forbid(path: Path, _choice: random.Random) -> str:
    path.chmod(0)
    return "mode 000"


DAMAGES: tuple[Damage, ...] = (flip, zero_page, cut, empty, remove, swap, forbid)
# Most damage of disks and memory is a flipped bit.
_WEIGHTS = (10, 3, 4, 1, 2, 2, 1)


def _root(path: Path) -> Path:
    return next(parent for parent in path.parents if (parent / LOCK_FILE).exists())


def files_of(folder: Path) -> list[Path]:
    """Return every file of a data folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Case:
    """One damage to one file: the same number does the same again."""

    number: int
    file: str
    damage: Damage

    def apply(self, folder: Path) -> str:
        choice = random.Random(self.number)
        return f"{self.number}: {self.file}: {self.damage(folder / self.file, choice)}"


def random_cases(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Yield damages, each file of the folder as likely as any other."""
    choice = random.Random(seed)
    names = [str(path.relative_to(folder)) for path in files_of(folder)]
    for number in range(count):
        yield Case(seed * 1_000_000 + number, choice.choice(names), choice.choices(DAMAGES, _WEIGHTS)[0])


@dataclass(frozen=True)
class Found:
    """What a process found: `refused` with words, or what it served by subject (a digest each), and what it said."""

    refused: str
    served: dict[str, str]
    said: list[str]
    defects: list[str]
    seconds: float

    def verdict(self, sound: Found) -> str:
        """Return what is wrong with this, compared with what was found before the damage; empty if nothing is."""
        if self.defects:
            return f"traceback: {self.defects[0]}"
        if self.seconds > SECONDS:
            return f"took {self.seconds:.1f} s"
        if self.refused:
            return ""
        lost = [subject for subject, digest in sound.served.items() if self.served.get(subject) != digest]
        return f"silent: {lost}" if lost and not self.said else ""


def find(folder: Path, until: float) -> Found:
    """Open a data folder in a forked child and read everything in it; `until`: the time of the newest event read."""
    reader, writer = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        answer = _child(folder, until)
        with os.fdopen(writer, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _pid, status = os.waitpid(child, 0)
    seconds = time.monotonic() - began
    if not text:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}"
        return Found("", {}, [], [f"the process died: {how}"], seconds)
    return Found(**json.loads(text), seconds=seconds)


def _child(folder: Path, until: float) -> dict[str, Any]:
    refused, defects = "", []
    served: dict[str, str] = {}
    said: list[str] = []
    lines: list[dict[str, Any]] = []

    def keep(_logger: object, _name: str, line: dict[str, Any]) -> dict[str, Any]:
        lines.append(line)
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    with ExitStack() as closing, Path(os.devnull).open("w") as null, redirect_stderr(null), redirect_stdout(null):
        try:
            _serve(folder, until, closing, served, said)
        except MillpondError as error:
            refused = str(error)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            defects.append(traceback.format_exc())
    defects += [f"log: {line['event']}" for line in lines if line.get("exc_info")]
    said += [str(line) for line in lines if "damaged" in str(line) or "unreadable" in str(line)]
    return {"refused": refused, "served": served, "said": said, "defects": defects}


def _serve(folder: Path, until: float, closing: ExitStack, served: dict[str, str], said: list[str]) -> None:
    settings = Settings(data_dir=folder, free_disk_mb=0)
    application = Application(settings, watched=False)
    platform = open_platform(
        application.foundation,
        closing,
        application.hooks,
        application._long_work,
        url="",
        patience=0.0,
        watched=False,
        ready=lambda: False,
        ready_rss=lambda: 0,
        enter=lambda _stage: None,
    )
    closing.callback(platform.memory.close)
    database = platform.database
    chunks = ChunkStore(database)
    files = FolderStore(folder / "files", settings)
    contents, documents = ContentStore(database), DocumentStore(database)

    def subject(name: str, read: Callable[[], object]) -> None:
        try:
            served[name] = hashlib.sha256(repr(read()).encode()).hexdigest()
        except MillpondError as error:
            said.append(f"{name}: {error}")

    listed = documents.page(DocumentFilters(), {}, limit=1000, offset=0, order="name", descending=False)
    ids, groups = chunks.active_ids()
    vectors = chunks.vectors(ids)[1]
    fingerprint = str(max(_rows(database, "SELECT DISTINCT fingerprint FROM revisions"), default=[""])[0])
    index = IndexManager(
        chunks,
        dimension=384,
        fingerprint=fingerprint,
        snapshots=IndexSnapshotStore(folder / "index"),
        settings=settings,
        reporter=platform.reporter,
    )
    index.start()
    closing.callback(index.close)
    lexical = LexicalStore(database)
    conversations = Conversations(database, settings)
    memory = platform.memory
    subject("documents", lambda: listed)
    subject("collections", CollectionStore(database).all)
    subject("chunks", lambda: [list(contents.each_chunk(each.id, None)) for each in listed])
    subject("sections", lambda: [contents.sections(each.id, None) for each in listed])
    subject("vectors", lambda: (ids.tolist(), groups.tolist(), vectors.tobytes()))
    subject("dense search", lambda: [_rounded(index.index.search(vector, 5)) for vector in vectors])
    subject(
        "lexical search", lambda: [lexical.search([term], 10) for term in ("mill", "sluice", "bolt", "水车", "gate")]
    )
    subject("originals", lambda: [_original(files, documents, each.id) for each in listed])
    subject("jobs", lambda: documents.jobs({}, None, limit=100))
    subject(
        "conversations",
        lambda: [conversations.export(SERVICE, each.id, "json") for each in conversations.conversations(SERVICE)],
    )
    subject("settings", lambda: _rows(database, "SELECT key, value FROM preferences ORDER BY key"))
    subject("events", lambda: platform.events.between(0.0, until, 20_000))
    subject("history", lambda: _history(memory, until))
    subject("traces", lambda: [(info, _traces(memory, info)) for info in memory.tracer.snapshots()])
    subject("censuses", lambda: [_census(memory, info) for info in memory.objects.snapshots()])
    subject("experiments", ResultStore(folder / "memory" / "experiments").results)
    originals = OriginalCheck(database, files)
    said += originals.some(1 << 30)
    database.check_some(1 << 30)
    said += [database.damage.message] if database.damage else []
    said += index.warnings
    said += [event.detail for event in platform.events.between(until, 1e12, 1000, {EventKind.DAMAGE})]


def _rows(database: Database, statement: str) -> list[list[object]]:
    with database.read() as connection:
        return [list(row) for row in connection.exec_driver_sql(statement)]


def _rounded(found: tuple[Any, Any]) -> list[tuple[int, float]]:
    return [(int(number), round(float(score), 4)) for number, score in zip(*found, strict=True)]


def _census(memory: MemoryMonitor, info: Snapshot) -> tuple[object, ...]:
    objects = read_objects(memory.objects._snapshots().path(info.name))
    sums = [zlib.crc32(column.data) for column in (objects.addresses, objects.kinds, objects.sizes, objects.lengths)]
    return info, memory.objects.snapshot(info.name), sums, objects.types


def _traces(memory: MemoryMonitor, info: SnapshotInfo) -> list[object]:
    traces = memory.tracer._store.traces(info.id)
    return [traces.files, traces.bytes.tobytes(), traces.frames.tobytes(), traces.frame_lines.tobytes()]


def _original(files: FileStore, documents: DocumentStore, document_id: int) -> str:
    stored, sha256 = documents.original(document_id, None)
    if not stored:
        return ""
    with files.opened(stored, sha256) as path:
        return _digest(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _history(memory: MemoryMonitor, until: float) -> list[object]:
    window = memory.history.window(until - 86_400, until)
    return [window.times.tolist(), [(name, values.tolist()) for name, values in sorted(window.means.items())]]


if __name__ == "__main__":
    print(find(Path(sys.argv[1]), time.time()))
