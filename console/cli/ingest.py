"""`ingest`: hand in files and folders, watch until all are ready or failed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from console.cli.client import Client, DocumentState
from console.cli.connect import open_desk
from console.cli.terminal import Bar, quiet_logs
from services.core.errors import BadInputError, BusyError, MillpondError, NotFoundError
from services.core.i18n import _, plural, use_language
from services.core.settings import Settings

POLL_SECONDS = 0.3
# Jobs run about in the order in which they came: asking about the oldest is enough to see each of them end.
WATCHED_AT_ONCE = 24
LOOKS_BETWEEN = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A file and the name under which it is handed in."""

    path: Path
    name: str


def ingest(settings: Settings, paths: Sequence[Path], collection: str | None) -> int:
    """Take in all of `paths`; returns 0 if every file is ready, 1 if one failed, 130 if it was interrupted."""
    use_language(settings.language)
    quiet_logs(settings)
    entries = files_of(paths)
    if not entries:
        raise BadInputError(_("There is no file in what was given."), _("Hidden files and folders are left out."))
    with open_desk(settings) as desk, Bar(len(entries)) as bar:
        run = _Run(desk, bar, _collection(desk, collection))
        try:
            for entry in entries:
                run.hand_in(entry)
                run.look(at_most=LOOKS_BETWEEN)
            run.finish()
        except KeyboardInterrupt:
            bar.close()
            click.echo(run.interrupted(), err=True)
            return 130
    click.echo(run.summary())
    return 1 if run.failed else 0


def files_of(paths: Sequence[Path]) -> list[Entry]:
    """Return the files in `paths`; folders are walked, what is hidden in them is left out.

    A file in a subfolder is named with it ("guides › intro.md"): the same name in two folders must not count as two
    versions of one document.
    """
    entries: list[Entry] = []
    for path in paths:
        if path.is_file():
            entries.append(Entry(path, path.name))
            continue
        for file in sorted(path.rglob("*")):
            steps = file.relative_to(path).parts
            if file.is_file() and not any(step.startswith(".") for step in steps):
                entries.append(Entry(file, " › ".join(steps)))
    return entries


def _collection(desk: Client, name: str | None) -> int | None:
    if name is None:
        return None
    known = desk.collections()
    return known[name] if name in known else desk.create_collection(name)


class _Run:
    """Hands files in and follows them to their end."""

    def __init__(self, desk: Client, bar: Bar, collection: int | None) -> None:
        self.ready = self.duplicates = self.failed = self.chunks = 0
        self._desk = desk
        self._bar = bar
        self._collection = collection
        self._open: dict[int, Entry] = {}
        self._pause = threading.Event()

    def hand_in(self, entry: Entry) -> None:
        while True:
            try:
                document_id, duplicate = self._desk.add(entry.path, entry.name, self._collection)
            except BusyError:  # the queue is full: let it shrink
                self.look(at_most=WATCHED_AT_ONCE)
                self._pause.wait(POLL_SECONDS)
            except MillpondError as error:
                self._fail(entry, error.message, error.hint)
                return
            else:
                break
        if duplicate:
            self.duplicates += 1
            self._bar.step(entry.name)
            return
        earlier = self._open.pop(document_id, None)
        if earlier is not None:  # a newer version in the same run takes the place of the one before
            self._bar.step(earlier.name)
        self._open[document_id] = entry

    def look(self, *, at_most: int) -> None:
        """See how far the oldest files are."""
        for document_id, entry in list(self._open.items())[:at_most]:
            try:
                state = self._desk.state(document_id)
            except NotFoundError as error:  # deleted meanwhile by somebody else
                state = DocumentState("failed", error=error.message, hint=error.hint)
            if not state.finished:
                self._bar.show(_progress(entry.name, state))
                continue
            del self._open[document_id]
            if state.status == "ready":
                self.ready += 1
                self.chunks += state.chunks
                self._bar.step(entry.name)
            else:
                self._fail(entry, state.error or state.status, state.hint)

    def finish(self) -> None:
        """Wait for all that were handed in."""
        self.look(at_most=WATCHED_AT_ONCE)
        while self._open:
            self._pause.wait(POLL_SECONDS)
            self.look(at_most=WATCHED_AT_ONCE)

    def interrupted(self) -> str:
        return plural(
            "Stopped. {count} file that was handed in is not finished; it goes on when Millpond runs.",
            "Stopped. {count} files that were handed in are not finished; they go on when Millpond runs.",
            len(self._open),
        )

    def summary(self) -> str:
        parts = [_("{count} ready ({chunks} chunks)").format(count=self.ready, chunks=self.chunks)]
        if self.duplicates:
            parts.append(plural("{count} was there already", "{count} were there already", self.duplicates))
        if self.failed:
            parts.append(_("{count} failed").format(count=self.failed))
        return ", ".join(parts)

    def _fail(self, entry: Entry, message: str, hint: str) -> None:
        self.failed += 1
        self._bar.step(entry.name)
        self._bar.say_error(f"{entry.name}: {message}", hint)


def _progress(name: str, state: DocumentState) -> str:
    if not state.total:
        return f"{name}: {state.status}"
    return _("{name}: {status} {unit} {done} of {total}").format(
        name=name, status=state.status, unit=state.unit, done=state.done, total=state.total
    )
