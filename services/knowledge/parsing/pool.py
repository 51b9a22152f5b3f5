"""Parses files in limited child processes, for the service: see `helper` for the other side."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import (
    BadInputError,
    CancelledError,
    MillpondError,
    StorageError,
    TimedOutError,
    TooLargeError,
    UnavailableError,
)
from services.knowledge.parsing import wire
from services.knowledge.parsing.process import HelperProcess
from services.knowledge.parsing.wire import ParsedFile
from services.knowledge.parsing.work import out_of_memory
from services.knowledge.types import ChunkDraft, Progress, Section
from services.texts import _

if TYPE_CHECKING:
    from services.settings import Settings

PARALLEL = 2
IDLE_SECONDS = 30.0
# How often cancellation and deadlines are looked at while a child says nothing.
_LOOK_SECONDS = 0.05
_END_SECONDS = 5.0
_RENDER_SECONDS = 30
_READ_BYTES = 262_144
MEGABYTE = 1024 * 1024
# What a megabyte of text may become on the wire: sections, overlapping chunks, terms, names.
_WIRE_FACTOR = 8

Message = list[Any]


class _HelperLostError(Exception):
    """The helper process ended before it told how the job ended."""


class ParserPool:
    """Reads files in children of a small helper process that exists only while there is something to read.

    Args:
        settings: limits for each child.
        tokenizer_file: the embedder's `tokenizer.json`.
        max_tokens: most tokens that the embedder reads, special ones included.
        idle_seconds: how long the helper stays when there is nothing to do.
    """

    def __init__(
        self, settings: Settings, tokenizer_file: Path, max_tokens: int, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._settings = settings
        self._tokenizer_file = tokenizer_file
        self._max_tokens = max_tokens
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._helper: HelperProcess | None = None
        self._jobs = itertools.count(1)
        self._children: dict[int, int] = {}
        self._closed = False
        # Drawing a page is quick and somebody waits for it: it does not queue behind long files.
        self._parsing = threading.Semaphore(PARALLEL)
        self._rendering = threading.Semaphore(PARALLEL)

    def parse(
        self,
        path: Path,
        name: str,
        *,
        chunk_tokens: int,
        overlap: int,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ParsedFile:
        """Return the sections and chunks of a file; `name` is what its owner calls it.

        Raises:
            BadInputError: the file cannot be read, and why.
            TooLargeError: it needs more memory than allowed, or contains too much.
            TimedOutError: it takes too long.
            CancelledError: `cancelled` returned true.
            UnavailableError: the parser cannot be started or is closing.
        """
        settings = self._settings
        request = {
            "do": "parse",
            "name": name,
            "chunk_tokens": min(chunk_tokens, self._max_tokens),
            "overlap": overlap,
            "memory_mb": settings.parser_memory_mb,
            "cpu_seconds": settings.parser_cpu_seconds,
            "output_mb": settings.parser_output_mb,
        }
        sections: list[Section] = []
        chunks: list[ChunkDraft] = []
        end: list[Any] = []

        def take(message: Message) -> None:
            kind, *values = message
            if kind == "section":
                sections.append(wire.as_section(values))
            elif kind == "chunk":
                chunks.append(wire.as_chunk(values))
            elif kind == "progress":
                on_progress(Progress(*values))
            elif kind == "end":
                end.extend(values)

        def start() -> Callable[[Message], None]:
            sections.clear()
            chunks.clear()
            return take

        with _slot(self._parsing, cancelled):
            self._run(path, request, start, cancelled, settings.parser_wall_seconds)
        media_type, pages = end
        return ParsedFile(media_type, pages, sections, chunks)

    def render_page(self, path: Path, page: int, width: int = 1000, highlight: Sequence[str] = ()) -> bytes:
        """Return a page of a PDF, counted from 1, as PNG of `width` pixels with the given words marked.

        Raises:
            NotFoundError: there is no such page.
            MillpondError: as for `parse`.
        """
        settings = self._settings
        request = {
            "do": "render",
            "name": "",
            "page": page,
            "width": max(16, min(width, 4000)),
            "highlight": [text[:4000] for text in highlight][:64],
            "memory_mb": settings.parser_memory_mb,
            "cpu_seconds": min(settings.parser_cpu_seconds, _RENDER_SECONDS),
            "output_mb": settings.parser_output_mb,
        }
        picture: list[bytes] = []

        def start() -> Callable[[Message], None]:
            picture.clear()
            return lambda message: picture.append(message[1]) if message[0] == "png" else None

        with _slot(self._rendering, lambda: False):
            self._run(path, request, start, lambda: False, _RENDER_SECONDS)
        return picture[0]

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

    def _run(
        self,
        path: Path,
        request: dict[str, Any],
        start: Callable[[], Callable[[Message], None]],
        cancelled: Callable[[], bool],
        wall_seconds: float,
    ) -> None:
        """Do one job, on a new helper if the present one goes away under it."""
        deadline = time.monotonic() + wall_seconds
        for _attempt in range(2):
            helper = self._present_helper()
            try:
                job = _Job(
                    self,
                    helper,
                    request=request,
                    cancelled=cancelled,
                    deadline=deadline,
                    wall_seconds=wall_seconds,
                )
                job.run(path, start())
            except _HelperLostError:
                self._forget(helper)
            else:
                return
        raise UnavailableError(
            _("The process that reads files ended unexpectedly."), _("Try again; if it happens again, see the log.")
        )

    def _present_helper(self) -> HelperProcess:
        with self._lock:
            if self._closed:
                raise _closing()
            if self._helper is not None and not self._helper.alive:
                self._helper.close()
                self._helper = None
            if self._helper is None:
                try:
                    self._helper = HelperProcess(self._tokenizer_file, self._settings.language, self._idle_seconds)
                except OSError as error:
                    raise UnavailableError(
                        _("The process that reads files cannot be started: {reason}.").format(reason=error.strerror),
                        _("Free memory or processes on this machine and try again."),
                    ) from error
            return self._helper

    def _forget(self, helper: HelperProcess) -> None:
        with self._lock:
            if self._helper is helper:
                self._helper = None
        helper.close(kill=True)


class _Job:
    """One job on its way through the helper."""

    def __init__(
        self,
        pool: ParserPool,
        helper: HelperProcess,
        *,
        request: dict[str, Any],
        cancelled: Callable[[], bool],
        deadline: float,
        wall_seconds: float,
    ) -> None:
        self._pool = pool
        self._helper = helper
        self._id = next(pool._jobs)  # noqa: SLF001 - one class in two parts
        self._request = {**request, "job": self._id}
        self._cancelled = cancelled
        self._deadline = deadline
        self._wall_seconds = wall_seconds
        self._error: MillpondError | None = None
        self._finished = False
        self._searched = 0  # how much of what was received holds no line end

    def run(self, path: Path, take: Callable[[Message], None]) -> None:
        with ExitStack() as open_files:
            output, status = self._send(path, open_files)
            try:
                for message in self._messages(output):
                    self._note(message)
                    take(message)
            except BaseException:
                self._kill(output)
                raise
            finally:
                with self._pool._lock:  # noqa: SLF001
                    self._pool._children.pop(self._id, None)  # noqa: SLF001
            if self._error is not None:
                raise self._error
            if not self._finished:
                raise self._explained(status)

    def _send(self, path: Path, open_files: ExitStack) -> tuple[int, int]:
        """Hand the job to the helper; return the ends to read its messages and its exit status from."""
        theirs = open_files.enter_context(ExitStack())
        try:
            file = theirs.enter_context(path.open("rb"))
            output, output_theirs = os.pipe()
            open_files.callback(os.close, output)
            theirs.callback(os.close, output_theirs)
            status, status_theirs = os.pipe()
            open_files.callback(os.close, status)
            theirs.callback(os.close, status_theirs)
        except OSError as error:
            raise StorageError(
                _("The stored file cannot be opened: {reason}.").format(reason=error.strerror),
                _("Upload it again."),
            ) from error
        sent = self._helper.send(self._request, [file.fileno(), output_theirs, status_theirs])
        theirs.close()
        if not sent:
            raise _HelperLostError
        return output, status

    def _messages(self, output: int) -> Iterator[Message]:
        """Yield the child's messages until it closes its end.

        Raises:
            CancelledError, TimedOutError, TooLargeError: it must not go on.
        """
        room = self._request["output_mb"] * MEGABYTE * _WIRE_FACTOR
        buffer = bytearray()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while True:
            if self._cancelled():
                raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
            if time.monotonic() >= self._deadline:
                raise TimedOutError(
                    _("Reading the file took more than {seconds} s and was stopped.").format(
                        seconds=round(self._wall_seconds)
                    ),
                    _("Split it into smaller files, or raise MILLPOND_PARSER_WALL_SECONDS."),
                )
            if not poll.poll(_LOOK_SECONDS * 1000):
                continue
            data = os.read(output, _READ_BYTES)
            if not data:
                return
            room -= len(data)
            if room < 0:
                raise TooLargeError(_("Reading the file yields too much output."), _("Split it into smaller files."))
            buffer += data
            yield from self._complete(buffer)

    def _complete(self, buffer: bytearray) -> Iterator[Message]:
        """Yield the messages that are whole and take them out of the buffer."""
        start = 0
        while (end := buffer.find(b"\n", max(start, self._searched))) >= 0:
            message: Message = json.loads(buffer[start:end])
            if message[0] == "png":
                if len(buffer) < end + 1 + message[1]:
                    self._searched = 0
                    return
                message = ["png", bytes(buffer[end + 1 : end + 1 + message[1]])]
                end = len(buffer)
            start = end + 1
            yield message
        del buffer[:start]
        self._searched = len(buffer)

    def _note(self, message: Message) -> None:
        kind, *values = message
        if kind == "start":
            with self._pool._lock:  # noqa: SLF001
                self._pool._children[self._id] = values[0]  # noqa: SLF001
        elif kind == "error":
            self._error = wire.as_error(values)
            _log(self._error, trace=values[3])
        elif kind in {"end", "png"}:
            self._finished = True

    def _kill(self, output: int) -> None:
        """End the child, and the helper if it does not obey; returns when the child is gone."""
        self._helper.send({"kill": self._id})
        poll = select.poll()
        poll.register(output, select.POLLIN)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            if poll.poll(_LOOK_SECONDS * 1000) and not os.read(output, _READ_BYTES):
                return
        self._helper.close(kill=True)

    def _explained(self, status: int) -> MillpondError:
        """Return the error for a child that ended without saying why.

        Raises:
            _HelperLostError: not even the helper knows.
        """
        poll = select.poll()
        poll.register(status, select.POLLIN)
        data = os.read(status, _READ_BYTES) if poll.poll(_END_SECONDS * 1000) else b""
        if self._pool._closed:  # noqa: SLF001
            return _closing()
        if not data:
            raise _HelperLostError
        _kind, code, seconds = json.loads(data)
        error = _ended(code, seconds, self._request["cpu_seconds"])
        _log(error, code=code)
        return error


def _closing() -> UnavailableError:
    return UnavailableError(_("Millpond is closing; the file was not read."), _("It can be read after the next start."))


def _ended(code: int, seconds: float, allowed: int) -> MillpondError:
    """Return the error for a child by its exit code (negative: a signal) and the processor time that it used."""
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= allowed):
        return TimedOutError(
            _("Reading the file took more than {seconds} s of processor time and was stopped.").format(seconds=allowed),
            _("Split it into smaller files, or raise MILLPOND_PARSER_CPU_SECONDS."),
        )
    if code in {-signal.SIGKILL, wire.EXIT_OUT_OF_MEMORY}:
        return out_of_memory()
    return BadInputError(
        _("Reading the file made the parser crash; the file is damaged, or needs more memory than it may have."),
        _("Open it in the program that made it, save it again there, and upload the copy."),
    )


@contextmanager
def _slot(slots: threading.Semaphore, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Wait for a free slot, as long as nobody cancels."""
    while not slots.acquire(timeout=_LOOK_SECONDS):
        if cancelled():
            raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
    try:
        yield
    finally:
        slots.release()


def _log(error: MillpondError, **details: Any) -> None:
    import structlog  # late: the helper imports this package too

    structlog.get_logger(__name__).info("file not read", kind=error.kind.value, message=error.message, **details)
