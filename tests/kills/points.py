"""The points at which a server is killed, each with a name in words, and how the product is made to end there.

A point is a function of the product, or of a library that it calls: the process kills itself with SIGKILL when that
is about to be called, or has just returned, for the n-th time since the point was armed. Nothing of this is in the
product.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

# Written before the kill: a supervised process that follows must not end at the same point again.
MARK_VARIABLE = "KILL_MARK"


def _any(*_arguments: Any) -> bool:
    return True


@dataclass(frozen=True)
class Point:
    """A point: the function `target` ("module:Name.method"), before or after its `arrival`-th call that `counts`.

    `counts` gets the positional arguments of the call.
    """

    name: str
    target: str
    after: bool = False
    arrival: int = 1
    counts: Callable[..., bool] = _any
    supervisor: bool = False  # whether it is in the supervisor

    def place(self) -> tuple[Any, str]:
        """Return the module or class that has the function, and the function's name."""
        module, _, path = self.target.partition(":")
        owner: Any = import_module(module)
        *outer, name = path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        return owner, name

    def arm(self) -> None:
        """Make this process end at the point."""
        owner, name = self.place()
        found = owner.__dict__[name]
        static = isinstance(found, staticmethod)
        function = found.__func__ if static else found
        lock = threading.Lock()
        calls = 0

        @functools.wraps(function)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            due = False
            if self.counts(*arguments):
                with lock:
                    calls += 1
                    due = calls == self.arrival
            if due and not self.after:
                die()
            result = function(*arguments, **keywords)
            if due:
                die()
            return result

        setattr(owner, name, staticmethod(wrapped) if static else wrapped)


def die() -> None:
    """Kill this process, unless one was killed already under the same mark."""
    mark = os.environ.get(MARK_VARIABLE)
    if mark:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _some(_store: object, names: Any) -> bool:
    return bool(names)


def _activating(_writer: object, unit: Any) -> bool:
    return bool(unit.switches)


def _folder_there(path: object, *_rest: object) -> bool:
    return Path(str(path)).is_dir() and ".passing-" in str(path)


def _making_table(_dialect: object, _cursor: object, statement: str, *_rest: object) -> bool:
    return statement.lstrip().startswith("CREATE TABLE")


def _loaded(_link: object, message: str) -> bool:
    return message == "loaded"


def _within(function: str) -> Callable[..., bool]:
    """Return whether a call comes from within a function of that name."""

    def called(*_arguments: object) -> bool:
        frame = sys._getframe(1)
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code.co_name == function:
                return True
        return False

    return called


def _migrating(_dialect: object, _cursor: object, statement: str, *_rest: object) -> bool:
    return statement.lstrip().startswith(("CREATE TABLE", "ALTER TABLE")) and _within("_migrate")()


_STORE = "services.knowledge.store"
_COMMIT = "sqlalchemy.engine.base:Connection._commit_impl"
_FILES = "services.knowledge.files.folder_store:FolderStore"
_INCOMING = "services.knowledge.files.incoming:IncomingFile"
_SNAPSHOTS = "services.knowledge.index.snapshots"
_CONVERSATIONS = "services.chat.conversations:Conversations"

# While it serves: armed by an order, reached by what a person does.
SERVING = (
    Point("upload: half of the body received", f"{_INCOMING}.write", after=True, arrival=2),
    Point("upload: file on disk, no row", f"{_INCOMING}.finish", after=True),
    Point("upload: row in the transaction", f"{_STORE}.intake:admit", after=True),
    Point("upload: committed, answer not sent", "services.knowledge.library:Library._admit", after=True),
    Point("upload of many: the third of five", f"{_STORE}.intake:admit", arrival=3),
    Point("parse: worker started", "services.knowledge.parsing.forkserver_client:ParseJob._receive_messages"),
    Point(
        "parse: result half received", "services.knowledge.parsing.results:ParseResult.receive", after=True, arrival=3
    ),
    Point("embed: between batches", "services.knowledge.embedding.embedder:Embedder._encode", after=True, arrival=2),
    Point("store: in the transaction", f"{_STORE}.revisions:activate", after=True),
    Point(
        "store: committed, index not told", f"{_STORE}.unit_of_work:DocumentWriter._update_index", counts=_activating
    ),
    Point("store of a large file: portion in the transaction", f"{_STORE}.revisions:index_early", True, 2),
    Point(
        "store of a large file: some portions committed",
        "services.knowledge.ingestion.store_stage:StoreStage._try_portion",
        after=True,
        arrival=3,
    ),
    Point("replacement: old chunks dropped", f"{_STORE}.revisions:drop_content", after=True),
    Point("replacement: committed, old original there", f"{_FILES}.remove", counts=_some),
    Point(
        "mail: attachments on disk, no rows",
        "services.knowledge.ingestion.attachments:WaitingAttachments.end",
        after=True,
        arrival=2,
    ),
    Point(
        "mail: attachments in the transaction",
        "services.knowledge.ingestion.store_stage:admit_attachments",
        after=True,
    ),
    Point("index snapshot: written, not renamed", f"{_SNAPSHOTS}:_write", after=True),
    Point("index snapshot: renamed", f"{_SNAPSHOTS}:_sync_folder", after=True, arrival=2),
    Point("index snapshot: an old one set aside", "shutil:rmtree", counts=_folder_there),
    Point("delete: in the transaction", f"{_STORE}.deletions:delete", after=True),
    Point("delete: committed, original there", f"{_FILES}.remove", counts=_some),
    Point("delete of a collection: documents gone, itself not", f"{_STORE}.deletions:delete_collection"),
    Point(
        "delete of a collection: one transaction of several",
        _COMMIT,
        after=True,
        arrival=2,
        counts=_within("delete_collection"),
    ),
    Point("move: in the transaction", "services.knowledge.library:move", after=True),
    Point("import: in the transaction", "services.knowledge.document_import:admit_prepared", after=True),
    Point("question: in the transaction", "services.chat.store:ChatStore.insert_message", after=True),
    Point("question: just committed", _COMMIT, after=True, counts=_within("add_question")),
    Point("answer: half streamed", "services.chat.answer_draft:AnswerDraft.apply", after=True, arrival=2),
    Point("answer: stored, end not sent", f"{_CONVERSATIONS}.replace_from", after=True),
    Point("edited question: old turn deleted", "services.chat.store:ChatStore.delete_messages_from", after=True),
    Point("edited question: just committed", _COMMIT, after=True, counts=_within("replace_question")),
    Point("answer again: old answer deleted", "services.chat.store:ChatStore.delete_messages_from", after=True),
    Point("settings: written, answer not sent", "services.core.preferences:Preferences.set", after=True),
    Point("memory history: in the transaction", "services.memory.history.store:write_journal", after=True),
    Point("census: a copy of the process at work", "services.memory.fork_snapshot:_receive"),
    Point(
        "snapshot of allocations: written, not described",
        "services.memory.tracing.snapshot_store:SnapshotStore._write_info",
    ),
    Point("checkpoint: pages copied, checksums not", "services.core.database.checkpoints:CheckedFile._follow"),
    Point("checkpoint: half of the checksums written", "services.core.database.page_checksums:_with_twins", arrival=2),
    Point(
        "checkpoint: checksums written, log not emptied", "services.core.database.checkpoints:CheckedFile._follow", True
    ),
    Point("events: being written", "services.operations.event_log:EventStore.insert", after=True),
)
# During a start: armed by the environment.
STARTING = (
    Point("start: tables half made", "sqlalchemy.engine.default:DefaultDialect.do_execute", True, 8, _making_table),
    Point("start: schema half migrated", "sqlalchemy.engine.default:DefaultDialect.do_execute", True, 1, _migrating),
    Point("start: checksums being made", "services.core.database.page_checksums:PageChecksums.set_open"),
    Point("start: half of the terms made anew", f"{_STORE}.term_version:TermRebuild._batch", after=True),
    Point("start: index loaded", "services.knowledge.index.manager:IndexManager.reconcile", after=True),
    Point("start: queue recovered, files not", f"{_FILES}.sweep"),
    Point("start: removing leftovers", f"{_FILES}.remove", counts=_some),
)
# Of a supervised server.
SUPERVISED = (
    Point("restart: draining", "services.operations.drain:Drain._wait_until_idle"),
    Point("restart: old process hands over", "console.cli.server:DrainingServer.stop_for_successor"),
    Point("restart: next process is loaded", "console.cli.supervisor_link:SupervisorLink.send", True, 1, _loaded),
    Point("supervisor: starting the next process", "console.cli.supervisor:Supervisor._start", True, 2, _any, True),
)
POINTS = {point.name: point for point in (*SERVING, *STARTING, *SUPERVISED)}
