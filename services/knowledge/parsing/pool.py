"""Parses files in limited child processes, for the service: see `helper` for the other side.

Systems without fork and resource limits (Windows): a new process for each file, with the time limit alone.

Everything works there, but `limits.unlimited` names what a file may use up; the pool's owner can say so.
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
    LOOK_SECONDS,
    ROOT,
    ForkServerLostError,
    ForkServerProcess,
    ParseJob,
    Watch,
)
from services.knowledge.parsing.limits import minimal_environment
from services.knowledge.parsing.protocol import LineReader, Parsed, ParsedFile, Picture, Result
from services.knowledge.parsing.worker import out_of_memory
from services.knowledge.types import JobProgress

if TYPE_CHECKING:
    from services.core.settings import Settings

PARALLEL = 2
IDLE_SECONDS = 30.0
WARM_SECONDS = 0.5
_RENDER_SECONDS = 30
_ATTEMPTS = 2
_READ_BYTES = 65_536


class ParserPool:
    """Reads files in children of a small helper process that exists only while there is something to read.

    Args:
        settings: limits for each child.
        tokenizer_file: the embedder's `tokenizer.json`.
        max_tokens: most tokens that the embedder reads, special ones included.
        idle_seconds: how long the helper stays when there is nothing to do.
        warm_seconds: how long a child that has read a small text waits for another one.
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
        self._helper: ForkServerProcess | None = None
        self._numbers = itertools.count(1)
        self._children: dict[int, int] = {}
        self._closed = False
        # Drawing a page is quick and somebody waits for it: it does not queue behind long files.
        self._parsing = threading.Semaphore(PARALLEL)
        self._rendering = threading.Semaphore(PARALLEL)
        missing = limits.unlimited()
        if missing:
            structlog.get_logger(__name__).warning("parsers are not limited here", missing=", ".join(missing))

    def parse(
        self,
        path: Path,
        name: str,
        *,
        chunk_tokens: int,
        overlap: int,
        on_progress: Callable[[JobProgress], None] = lambda _progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ParsedFile:
        """Return the sections and chunks of a file; `name` is what its owner calls it.

        Raises:
            BadInputError: the file cannot be read, and why.
            TooLargeError: it needs more memory than allowed, or contains too much.
            TimedOutError: it takes too long.
            CancelledError: `cancelled` returned true.
            StorageError: the stored file, or room for its text, is not there.
            UnavailableError: the parser cannot be started, or is closing.
        """
        request = {
            "do": "parse",
            "name": name,
            "chunk_tokens": min(chunk_tokens, self._max_tokens),
            "overlap": overlap,
        }
        with self._slot(self._parsing, cancelled):
            hint = _("Split it into smaller files, or raise MILLPOND_PARSER_WALL_SECONDS.")
            watch = Watch(cancelled, self._settings.parser_wall_seconds, hint)
            results: list[Parsed] = []

            def fresh() -> Parsed:
                for given_up in results:
                    given_up.close()
                results[:] = [Parsed(on_progress, self._settings.data_dir)]
                return results[0]

            try:
                self._run(path, request, fresh, watch)
            except BaseException:
                for given_up in results:
                    given_up.close()
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
        picture = Picture()
        with self._slot(self._rendering, lambda: False):
            watch = Watch(lambda: False, _RENDER_SECONDS, _("Download the file and look at the page there."))
            self._run(path, request, lambda: picture, watch)
        return picture.data

    def pids(self) -> list[int]:
        """Return the numbers of the helper and the children that run now."""
        with self._lock:
            helper = [self._helper.pid] if self._helper and self._helper.alive else []
            return [*helper, *self._children.values()]

    def close(self) -> None:
        """End the helper and its children; files that are being read end with an error."""
        with self._lock:
            self._closed = True
            helper, self._helper = self._helper, None
        if helper:
            helper.close()

    def _run(self, path: Path, request: dict[str, Any], fresh: Callable[[], Result], watch: Watch) -> None:
        """Do one job, on a new helper if the present one goes away under it."""
        request = {
            **request,
            "memory_mb": self._settings.parser_memory_mb,
            "cpu_seconds": self._settings.parser_cpu_seconds,
            "output_mb": self._settings.parser_output_mb,
        }
        for _attempt in range(_ATTEMPTS):
            number = next(self._numbers)
            result = fresh()
            helper = None
            try:
                if not limits.can_fork():
                    self._refuse_if_closed()
                    run(self._config(), request, path, result, watch)
                else:
                    helper = self._present_helper()
                    job = ParseJob(helper, number, request, lambda pid, number=number: self._note(number, pid))  # type: ignore[misc]
                    job.run(path, result, watch)
            except ForkServerLostError:
                self._forget(helper)
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
        """Wait for a free slot, as long as nobody cancels."""
        while not slots.acquire(timeout=LOOK_SECONDS):
            self._refuse_if_closed()
            if cancelled():
                raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
        try:
            yield
        finally:
            slots.release()

    def _note(self, number: int, pid: int) -> None:
        with self._lock:
            self._children[number] = pid

    def _config(self) -> dict[str, Any]:
        return {
            "tokenizer": str(self._tokenizer_file),
            "language": self._settings.language,
            "idle_seconds": self._idle_seconds,
            "warm_seconds": self._warm_seconds,
        }

    def _present_helper(self) -> ForkServerProcess:
        with self._lock:
            if self._closed:
                raise _closing()
            if self._helper is not None and not self._helper.alive:
                self._helper.close()
                self._helper = None
            if self._helper is None:
                try:
                    self._helper = ForkServerProcess(self._config())
                except OSError as error:
                    raise UnavailableError(
                        _("The process that reads files cannot be started: {reason}.").format(reason=error.strerror),
                        _("Free memory or processes on this machine and try again."),
                    ) from error
            return self._helper

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise _closing()

    def _forget(self, helper: ForkServerProcess | None) -> None:
        with self._lock:
            if self._helper is helper:
                self._helper = None
        if helper is not None:
            helper.close(kill=True)


def _closing() -> UnavailableError:
    return UnavailableError(_("Millpond is closing; the file was not read."), _("It can be read after the next start."))


def run(config: dict[str, Any], request: dict[str, Any], path: Path, result: Result, watch: Watch) -> None:
    """Read one file in a process of its own and feed `result`.

    Raises:
        MillpondError: it was stopped, or there is no such file.
        HelperLostError: the process ended without a word.
    """
    if not path.is_file():
        raise StorageError(_("The stored file is not there any more."), _("Upload it again."))
    command = [sys.executable, "-m", "services.knowledge.parsing.forkserver", json.dumps(config)]
    with subprocess.Popen(  # noqa: S603 - our own module, no input of anybody's
        [*command, json.dumps({**request, "path": str(path.resolve()), "job": 0})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=path.resolve().anchor,
        env=minimal_environment(ROOT),
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        # A pipe cannot be polled there: a thread reads it.
        arrived: queue.Queue[bytes] = queue.Queue(maxsize=16)
        reader = threading.Thread(target=_read, args=(process.stdout, arrived), daemon=True)
        reader.start()
        try:
            _follow(arrived, request["output_mb"], result, watch)
        except BaseException:
            process.kill()
            while arrived.get():
                pass
            raise
        finally:
            reader.join()
    if not result.complete and result.error is None:
        if process.returncode == 0:
            raise ForkServerLostError
        result.error = out_of_memory()


def _follow(arrived: queue.Queue[bytes], output_mb: int, result: Result, watch: Watch) -> None:
    lines = LineReader(output_mb)
    while True:
        watch.check()
        try:
            data = arrived.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if not data:
            return
        for message in lines.cut(data):
            result.take(message)


def _read(stream: IO[bytes], arrived: queue.Queue[bytes]) -> None:
    """Hand on what arrives; an empty piece is the end."""
    while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        arrived.put(data)
    arrived.put(b"")
