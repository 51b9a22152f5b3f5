"""`ingest`: uploads files and folders and waits until all are ready or failed; the run of documents with its progress
bar, as `import` shows it, too.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from console.cli.client import Client, DocumentState
from console.cli.connect import connect
from console.cli.terminal import ProgressBar, quiet_logs
from services.core.errors import BadInputError, BusyError, MillpondError, NotFoundError
from services.core.i18n import _, plural, use_terminal_language
from services.core.settings import Settings
from services.knowledge.file_names import name_with_folders
from services.knowledge.formats.mail.header_text import decode_bytes

POLL_SECONDS = 0.3
# Jobs run about in the order in which they were queued: polling the oldest is enough to see each of them end.
POLLED_AT_ONCE = 24
POLLS_BETWEEN = 4


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file and the name of its document."""

    path: Path
    name: str


def ingest(settings: Settings, paths: Sequence[Path], collection: str | None) -> int:
    """Ingest all of `paths`; returns 0 if every file is ready, 1 if one failed, 130 if it was interrupted."""
    use_terminal_language(settings.language)
    quiet_logs(settings)
    entries = files_of(paths)
    if not entries:
        raise BadInputError(_("There is no file in these paths."), _("Hidden files and folders are left out."))
    with connect(settings) as client, ProgressBar(len(entries)) as bar:
        target = None if collection is None else find_or_create_collection(client, collection)
        run = DocumentRun(client, bar)
        try:
            for entry in entries:
                run.submit(entry.name, partial(client.add, entry.path, entry.name, target))
                run.poll(at_most=POLLS_BETWEEN)
            run.wait()
        except KeyboardInterrupt:
            bar.close()
            click.echo(run.interruption(), err=True)
            return 130
    click.echo(run.summary())
    return 1 if run.failed else 0


def files_of(paths: Sequence[Path]) -> list[FileEntry]:
    """Return the files in `paths`; folders are walked, hidden files and folders in them are left out.

    A file in a subfolder is named with it ("guides › intro.md"): the same name in two folders must not count as two
    versions of one document. Files that would still have one name are named with as many of the folders above them as
    tell them apart. A name that is not in UTF-8 is read in the likeliest encoding.
    """
    found: dict[Path, tuple[str, ...]] = {}
    for path in paths:
        if path.is_file():
            found.setdefault(path, (path.name,))
            continue
        for file in sorted(path.rglob("*")):
            parts = file.relative_to(path).parts
            if file.is_file() and not any(part.startswith(".") for part in parts):
                found.setdefault(file, parts)
    return [
        FileEntry(path, name_with_folders([_as_text(part) for part in parts]))
        for path, parts in _told_apart(found).items()
    ]


def _told_apart(found: Mapping[Path, tuple[str, ...]]) -> dict[Path, tuple[str, ...]]:
    """Return names with more of the folders above, where several files have one name; a file that is given twice is
    there once.
    """
    resolved: dict[Path, Path] = {}
    for path in found:
        resolved.setdefault(path.resolve(), path)
    names = {path: found[path] for path in resolved.values()}
    whole = {path: full.parts[1:] for full, path in resolved.items()}
    while True:
        same = Counter(names.values())
        longer = {
            path: whole[path][-len(parts) - 1 :]
            for path, parts in names.items()
            if same[parts] > 1 and len(parts) < len(whole[path])
        }
        if not longer:
            return names
        names.update(longer)


def _as_text(name: str) -> str:
    """Return a name as text; bytes of it that are not UTF-8 come as lone surrogates (PEP 383)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return decode_bytes(os.fsencode(name))
    return name


def find_or_create_collection(client: Client, name: str) -> int:
    """Return the id of the collection called `name`, a new one if there is none."""
    known = client.collections()
    return known[name] if name in known else client.create_collection(name)


class DocumentRun:
    """Adds documents and follows each until it is ready or failed."""

    def __init__(self, client: Client, bar: ProgressBar) -> None:
        self.ready = self.duplicates = self.failed = self.chunks = 0
        self._client = client
        self._bar = bar
        self._open: dict[int, str] = {}
        self._pause = threading.Event()

    def submit(self, name: str, add: Callable[[], tuple[int, bool]]) -> None:
        """Call `add`, which returns a document's id and whether it was there already; wait while the queue is full."""
        while True:
            try:
                document_id, duplicate = add()
            except BusyError:  # the queue is full: wait for some to end
                self.poll(at_most=POLLED_AT_ONCE)
                self._pause.wait(POLL_SECONDS)
            except MillpondError as error:
                self._fail(name, error.message, error.hint)
                return
            else:
                break
        if duplicate:
            self.duplicates += 1
            self._bar.advance(name)
            return
        earlier = self._open.pop(document_id, None)
        if earlier is not None:  # a newer version in the same run takes the place of the one before
            self._bar.advance(earlier)
        self._open[document_id] = name

    def poll(self, *, at_most: int) -> None:
        """Read the progress of the oldest `at_most` documents."""
        for document_id, name in list(self._open.items())[:at_most]:
            try:
                state = self._client.state(document_id)
            except NotFoundError as error:  # deleted meanwhile
                state = DocumentState("failed", error=error.message, hint=error.hint)
            if not state.finished:
                self._bar.show(_progress(name, state))
                continue
            del self._open[document_id]
            if state.status == "ready":
                self.ready += 1
                self.chunks += state.chunks
                self._bar.advance(name)
            else:
                self._fail(name, state.error or state.status, state.hint)

    def wait(self) -> None:
        """Wait until all documents are ready or failed."""
        self.poll(at_most=POLLED_AT_ONCE)
        while self._open:
            self._pause.wait(POLL_SECONDS)
            self.poll(at_most=POLLED_AT_ONCE)

    def interruption(self) -> str:
        """Return what an interrupted command says."""
        return plural(
            "Stopped. {count} document is not finished; it goes on when Millpond runs.",
            "Stopped. {count} documents are not finished; they go on when Millpond runs.",
            len(self._open),
        )

    def summary(self) -> str:
        """Return the counts of the run."""
        chunks = plural("{count} chunk", "{count} chunks", self.chunks)
        parts = [_("{count} ready ({chunks})").format(count=self.ready, chunks=chunks)]
        if self.duplicates:
            parts.append(plural("{count} was there already", "{count} were there already", self.duplicates))
        if self.failed:
            parts.append(_("{count} failed").format(count=self.failed))
        return ", ".join(parts)

    def _fail(self, name: str, message: str, hint: str) -> None:
        self.failed += 1
        self._bar.advance(name)
        self._bar.print_error(f"{name}: {message}", hint)


def _progress(name: str, state: DocumentState) -> str:
    if not state.total:
        return f"{name}: {state.status}"
    return _("{name}: {status} {unit} {done} of {total}").format(
        name=name, status=state.status, unit=state.unit, done=state.done, total=state.total
    )
