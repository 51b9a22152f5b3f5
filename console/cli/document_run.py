"""A run of documents through the pipeline, as the commands `ingest` and `import` show it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from console.cli.client import Client, DocumentState
from console.cli.terminal import ProgressBar
from services.core.errors import BusyError, MillpondError, NotFoundError
from services.core.i18n import _, plural

POLL_SECONDS = 0.3
# Jobs run about in the order in which they were queued: polling the oldest is enough to see each of them end.
POLLED_AT_ONCE = 24
POLLS_BETWEEN = 4


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
        parts = [_("{count} ready ({chunks} chunks)").format(count=self.ready, chunks=self.chunks)]
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
