"""A pool of parser processes with resource limits, children of a fork server (`forkserver`).

On systems without fork and resource limits (Windows) each file is parsed in a new process, with a time limit only;
`limits.unlimited` names what is not limited there.
"""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import structlog

from services.core.errors import CancelledError, MillpondError, StorageError, UnavailableError
from services.core.i18n import _
from services.knowledge.parsing import limits
from services.knowledge.parsing.forkserver_client import (
    POLL_SECONDS,
    ROOT,
    ForkServerLostError,
    ForkServerProcess,
    ParseJob,
    Watchdog,
    WorkerLostError,
)
from services.knowledge.parsing.limits import minimal_environment
from services.knowledge.parsing.results import (
    AttachmentReceiver,
    JobResult,
    MessageReader,
    ParsedFile,
    ParseResult,
    RenderResult,
)
from services.knowledge.parsing.worker import out_of_memory
from services.knowledge.parsing.worker_death import WorkerDiedError
from services.knowledge.types import JobProgress

if TYPE_CHECKING:
    from services.core.settings import Settings

# Files parsed at once. Who may have the third place is decided in `ingestion`; rendered pages need two at most.
PARALLEL_JOBS = 3
IDLE_SECONDS = 30.0
WARM_SECONDS = 0.5
_RENDER_SECONDS = 30
_ATTEMPTS = 3
_READ_BYTES = 65_536


class ParserPool:
    """Parses files in children of a small fork server, which runs only while it is needed. Thread-safe.

    Args:
        settings: limits for each child.
        tokenizer_file: the embedder's tokenizer, for `open_tokenizer`.
        max_tokens: most tokens that the embedder reads, special ones included.
        idle_seconds: how long the fork server stays without a job.
        warm_seconds: how long a child that has parsed a small text waits for another one.
    """

    def __init__(
        self,
        settings: Settings,
        tokenizer_file: Path,
        max_tokens: int,
        *,
        idle_seconds: float = IDLE_SECONDS,
        warm_seconds: float = WARM_SECONDS,
    ) -> None:
        self._settings = settings
        self._tokenizer_file = tokenizer_file
        self._max_tokens = max_tokens
        self._idle_seconds = idle_seconds
        self._warm_seconds = warm_seconds
        self._lock = threading.Lock()
        self._server: ForkServerProcess | None = None
        self._former: list[ForkServerProcess] = []  # with another tokenizer; they end once they are idle
        self._numbers = itertools.count(1)
        self._children: dict[int, int] = {}
        self._closed = False
        # Rendering a page is quick and a user waits for it: it does not queue behind long files.
        self._parsing = threading.Semaphore(PARALLEL_JOBS)
        self._rendering = threading.Semaphore(PARALLEL_JOBS)
        missing = limits.unlimited()
        if missing:
            structlog.get_logger(__name__).warning(
                "parser limits not supported on this system", missing=", ".join(missing)
            )

    def use_tokenizer(self, tokenizer_file: Path, max_tokens: int) -> None:
        """Cut the files that are parsed from now on by another tokenizer; those in work go on as they began."""
        with self._lock:
            self._tokenizer_file, self._max_tokens = tokenizer_file, max_tokens
            server, self._server = self._server, None
            if server is not None:
                self._former.append(server)

    def parse(
        self,
        path: Path,
        name: str,
        *,
        chunk_tokens: int,
        overlap: int,
        on_progress: Callable[[JobProgress], None] = lambda _progress: None,
        cancelled: Callable[[], bool] = lambda: False,
        attachments: AttachmentReceiver | None = None,
        most_attachments: int = 1000,
    ) -> ParsedFile:
        """Return the sections and chunks of a file; `name` is its name in the library.

        The files that it brings, at most `most_attachments`, go to `attachments`; without that they are dropped.

        Raises:
            BadInputError: the file cannot be parsed, and why.
            TooLargeError: it needs more memory than allowed, or contains too much text.
            TimedOutError: it takes too long.
            WorkerDiedError: the process that read it crashed, or was ended from outside; the file may be good.
            CancelledError: `cancelled` returned true.
            StorageError: the stored file is missing, or the disk is too full for its text.
            UnavailableError: the parser cannot be started, or is closing.
        """
        request = {
            "do": "parse",
            "name": name,
            "chunk_tokens": min(chunk_tokens, self._max_tokens),
            "overlap": overlap,
            "attachments": (most_attachments, self._settings.upload_limit_bytes, attachments is not None),
        }
        with self._slot(self._parsing, cancelled):
            hint = _("Split it into smaller files, or raise MILLPOND_PARSER_WALL_SECONDS.")
            watchdog = Watchdog(cancelled, self._settings.parser_wall_seconds, hint)
            results: list[ParseResult] = []

            def new_result() -> ParseResult:
                for abandoned in results:
                    abandoned.close()
                results[:] = [ParseResult(on_progress, self._settings.data_dir, attachments)]
                return results[0]

            try:
                self._run(path, request, new_result, watchdog)
            except BaseException:
                for abandoned in results:
                    abandoned.close()
                raise
            return results[0].file()

    def render_page(self, path: Path, page: int, width: int = 1000, highlight: Sequence[str] = ()) -> bytes:
        """Return a page of a PDF, counted from 1, as PNG of `width` pixels with the given words marked.

        Raises:
            NotFoundError: there is no such page.
            MillpondError: as for `parse`.
        """
        request = {
            "do": "render",
            "name": "",
            "page": page,
            "width": max(16, min(width, 4000)),
            "highlight": [text[:4000] for text in highlight][:64],
        }
        image = RenderResult()
        with self._slot(self._rendering, lambda: False):
            watchdog = Watchdog(lambda: False, _RENDER_SECONDS, _("Download the file and look at the page there."))
            self._run(path, request, lambda: image, watchdog)
        return image.data

    def pids(self) -> list[int]:
        """Return the process ids of the fork server and its children."""
        with self._lock:
            servers = [self._server, *self._former] if self._server else self._former
            return [*(server.pid for server in servers if server.alive), *self._children.values()]

    def close(self) -> None:
        """Terminate the fork server and its children; files being parsed end with an error."""
        with self._lock:
            self._closed = True
            servers = [*self._former, *([self._server] if self._server else [])]
            self._server, self._former = None, []
        for server in servers:
            server.close()

    def _run(
        self, path: Path, request: dict[str, Any], new_result: Callable[[], JobResult], watchdog: Watchdog
    ) -> None:
        """Run one job; again on a new fork server if the present one is lost, and again for a page if its child is."""
        request = {
            **request,
            "memory_mb": self._settings.parser_memory_mb,
            "cpu_seconds": self._settings.parser_cpu_seconds,
            "output_mb": self._settings.parser_output_mb,
        }
        for attempt in range(_ATTEMPTS):
            number = next(self._numbers)
            result = new_result()
            server = None
            try:
                if not limits.can_fork():
                    self._refuse_if_closed()
                    run_without_fork(self._config(), request, path, result, watchdog)
                else:
                    server = self._running_server()
                    job = ParseJob(server, number, request, lambda pid, number=number: self._record(number, pid))  # type: ignore[misc]
                    job.run(path, result, watchdog)
            except ForkServerLostError:
                self._discard(server)
                continue
            except WorkerLostError:
                continue
            except WorkerDiedError as error:
                self._refuse_if_closed()
                if request["do"] != "render" or not error.outside or attempt == _ATTEMPTS - 1:
                    raise
                continue
            except MillpondError:
                self._refuse_if_closed()
                raise
            finally:
                with self._lock:
                    self._children.pop(number, None)
            if result.error is not None:
                raise result.error
            return
        raise UnavailableError(
            _("The process that reads files ended unexpectedly."), _("Try again; if it happens again, see the log.")
        )

    @contextmanager
    def _slot(self, slots: threading.Semaphore, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Wait for a free slot until cancelled."""
        while not slots.acquire(timeout=POLL_SECONDS):
            self._refuse_if_closed()
            if cancelled():
                raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
        try:
            yield
        finally:
            slots.release()

    def _record(self, number: int, pid: int) -> None:
        with self._lock:
            self._children[number] = pid

    def _config(self) -> dict[str, Any]:
        return {
            "tokenizer": str(self._tokenizer_file),
            "language": self._settings.language,
            "idle_seconds": self._idle_seconds,
            "warm_seconds": self._warm_seconds,
        }

    def _running_server(self) -> ForkServerProcess:
        with self._lock:
            if self._closed:
                raise _closing()
            if self._server is not None and not self._server.alive:
                self._server.close()
                self._server = None
            for former in [each for each in self._former if not each.alive]:
                former.close()
                self._former.remove(former)
            if self._server is None:
                try:
                    self._server = ForkServerProcess(self._config())
                except OSError as error:
                    raise UnavailableError(
                        _("The process that reads files cannot be started: {reason}.").format(reason=error.strerror),
                        _("Free memory or processes on this machine and try again."),
                    ) from error
            return self._server

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise _closing()

    def _discard(self, server: ForkServerProcess | None) -> None:
        with self._lock:
            if self._server is server:
                self._server = None
        if server is not None:
            server.close(kill=True)


def _closing() -> UnavailableError:
    return UnavailableError(_("Millpond is closing; the file was not read."), _("It can be read after the next start."))


def run_without_fork(
    config: dict[str, Any], request: dict[str, Any], path: Path, result: JobResult, watchdog: Watchdog
) -> None:
    """Parse one file in a new process and feed `result`; for systems without fork.

    Raises:
        MillpondError: it was cancelled, took too long, or there is no such file.
        ForkServerLostError: the process ended without a result.
    """
    if not path.is_file():
        raise StorageError(_("The stored file does not exist any more."), _("Upload it again."))
    command = [sys.executable, "-m", "services.knowledge.parsing.forkserver", json.dumps(config)]
    with subprocess.Popen(  # noqa: S603 - our own module, no user input
        [*command, json.dumps({**request, "path": str(path.resolve()), "job": 0})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=path.resolve().anchor,
        env=minimal_environment(ROOT),
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        # Windows cannot poll a pipe: a thread reads it.
        received: queue.Queue[bytes] = queue.Queue(maxsize=16)
        reader = threading.Thread(target=_pump, args=(process.stdout, received), daemon=True)
        reader.start()
        try:
            _receive_messages(received, request, result, watchdog)
        except BaseException:
            process.kill()
            while received.get():
                pass
            raise
        finally:
            reader.join()
    if not result.complete and result.error is None:
        if process.returncode == 0:
            raise ForkServerLostError
        result.error = out_of_memory()


def _receive_messages(
    received: queue.Queue[bytes], request: dict[str, Any], result: JobResult, watchdog: Watchdog
) -> None:
    reader = MessageReader(request)
    while True:
        watchdog.check()
        try:
            data = received.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if not data:
            return
        for message in reader.feed(data):
            result.receive(message)


def _pump(stream: IO[bytes], received: queue.Queue[bytes]) -> None:
    """Copy a stream to a queue; empty bytes mark the end."""
    while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        received.put(data)
    received.put(b"")
