"""The service's side of the fork server: starting and stopping it, sending jobs, supervising them."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services.core.errors import CancelledError, MillpondError, StorageError, TimedOutError
from services.core.i18n import _
from services.knowledge.parsing import protocol
from services.knowledge.parsing.limits import minimal_environment
from services.knowledge.parsing.results import JobResult, MessageReader
from services.knowledge.parsing.worker_death import STOPPED, exit_error, outside_death

# The folder on the path of the fork server where it finds this package.
ROOT = str(Path(__file__).resolve().parents[3])
_END_SECONDS = 5.0
# How often cancellation and deadlines are checked while a child is silent.
POLL_SECONDS = 0.05
_READ_BYTES = 262_144
# A job that has not begun after this time is lost: the server begins one in milliseconds, in a second under load.
START_SECONDS = 20.0
# How often a silent process is checked for whether somebody has stopped it.
STOPPED_CHECK_SECONDS = 1.0
# Most seconds that count between two looks at the clock: this process may itself have been stopped in between.
_LONGEST_STEP = 5.0


class ForkServerProcess:
    """The process of a fork server; it ends by itself when idle and is then replaced by the pool.

    Args:
        config: "tokenizer" (a path), "language", "idle_seconds" and "warm_seconds", see `forkserver`.

    Raises:
        OSError: no process or descriptors are available.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no user input
                    [sys.executable, "-m", "services.knowledge.parsing.forkserver", json.dumps(config)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=minimal_environment(ROOT),
                )
        except OSError:
            ours.close()
            raise
        self._socket = ours
        self._sending = threading.Lock()
        # Reaps the process, so that a server that ended when idle is no zombie.
        self._reaper = threading.Thread(target=self._reap, name="parser-forkserver", daemon=True)
        self._reaper.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it accepts jobs."""
        return self._reaper.is_alive()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Send a message; false if the server has ended."""
        data = json.dumps(message, ensure_ascii=True).encode() + b"\n"
        try:
            with self._sending:
                sent = socket.send_fds(self._socket, [data], list(descriptors))
                if sent < len(data):
                    self._socket.sendall(data[sent:])
        except OSError:
            return False
        return True

    def close(self, *, kill: bool = False) -> None:
        """Terminate the server and its children, and wait for it."""
        if kill:
            self._process.kill()
        with self._sending:
            self._socket.close()
        self._reaper.join(_END_SECONDS)
        if self._reaper.is_alive():
            self._process.kill()
            self._reaper.join(_END_SECONDS)

    def _reap(self) -> None:
        self._process.wait()


class ForkServerLostError(Exception):
    """The fork server ended, or was stopped, before it reported the outcome of the job."""


class WorkerLostError(Exception):
    """A child of the fork server was stopped before it began the job; the server goes on."""


class Watchdog:
    """Stops a job that is cancelled or takes more than `wall_seconds`; `hint` says what to do about the latter.

    Time in which this process does not check, because it was stopped or had no processor, hardly counts.
    """

    def __init__(self, cancelled: Callable[[], bool], wall_seconds: float, hint: str) -> None:
        self._cancelled = cancelled
        self._hint = hint
        self._wall_seconds = wall_seconds
        self._last = time.monotonic()
        self._spent = 0.0
        self._recognizing = False

    def recognizing(self, active: bool) -> None:
        """Begin or end a page read by text recognition, whose time does not count: the child limits that."""
        self._recognizing = active

    def check(self) -> None:
        """Return if the job may continue.

        Raises:
            CancelledError: it was cancelled.
            TimedOutError: it has taken too long.
        """
        if self._cancelled():
            raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
        now = time.monotonic()
        self._spent += 0.0 if self._recognizing else min(now - self._last, _LONGEST_STEP)
        self._last = now
        if self._spent >= self._wall_seconds:
            raise TimedOutError(
                _("Reading the file took more than {seconds} s and was stopped.").format(
                    seconds=round(self._wall_seconds)
                ),
                self._hint,
            )


class ParseJob:
    """A job of a fork server's child.

    `on_start` is called with the child's process id, `on_recognizer` before the child gets a connection with the
    process that recognises text: it may wait or raise a MillpondError.

    Raises (from `run`):
        MillpondError: the job failed or was stopped; its child has ended.
        WorkerDiedError: the child crashed, or was ended or stopped from outside.
        WorkerLostError: the child was stopped from outside before it began.
        ForkServerLostError: the outcome is unknown.
    """

    def __init__(
        self,
        server: ForkServerProcess,
        number: int,
        request: dict[str, Any],
        on_start: Callable[[int], None],
        on_recognizer: Callable[[Watchdog], None] = lambda _watchdog: None,
    ) -> None:
        self._server = server
        self._number = number
        self._request = {**request, "job": number}
        self._on_start = on_start
        self._on_recognizer = on_recognizer
        self._pid: int | None = None

    def run(self, path: Path, result: JobResult, watchdog: Watchdog) -> None:
        """Send the file and feed `result` until the job has ended."""
        with ExitStack() as open_files:
            output, status = self._send(path, open_files)
            try:
                self._receive_messages(output, result, watchdog)
            except BaseException:
                self._kill(output)
                raise
            if result.error is None and not result.complete:
                raise self._exit_error(status)

    def _send(self, path: Path, open_files: ExitStack) -> tuple[int, int]:
        """Send the job to the server; return the descriptors to read its messages and its exit status from."""
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
        sent = self._server.send(self._request, [file.fileno(), output_theirs, status_theirs])
        theirs.close()
        if not sent:
            raise ForkServerLostError
        return output, status

    def _receive_messages(self, output: int, result: JobResult, watchdog: Watchdog) -> None:
        reader = MessageReader(self._request)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        silent = checked = 0.0
        while True:
            watchdog.check()
            if not poll.poll(POLL_SECONDS * 1000):
                silent += POLL_SECONDS
                if silent - checked >= STOPPED_CHECK_SECONDS:
                    checked = silent
                    self._check_running(silent)
                continue
            silent = checked = 0.0
            data = os.read(output, _READ_BYTES)
            if not data:
                return
            for message in reader.feed(data):
                if protocol.message_kind(message) == "start":
                    self._pid = protocol.message_values(message)[0]
                    self._on_start(self._pid)
                else:
                    self._recognize(message, watchdog)
                    result.receive(message)

    def _recognize(self, message: bytes, watchdog: Watchdog) -> None:
        """Do what a message about text recognition asks for."""
        kind = protocol.message_kind(message)
        if kind == "recognizer":
            self._on_recognizer(watchdog)
            self._server.send({"recognizer": self._number})
        elif kind in {"recognizing", "recognized"}:
            watchdog.recognizing(kind == "recognizing")

    def _check_running(self, silent: float) -> None:
        """Return if the processes that have been silent for so many seconds are running.

        Raises:
            WorkerDiedError, WorkerLostError, ForkServerLostError: somebody stopped one of them.
        """
        if self._pid is not None:
            if _is_stopped(self._pid):
                raise outside_death(STOPPED)
            return
        if _is_stopped(self._server.pid) or silent >= START_SECONDS:
            raise ForkServerLostError
        if any(_is_stopped(child) for child in _children(self._server.pid)):
            # A child that waited for its next job, perhaps for this one.
            raise WorkerLostError

    def _kill(self, output: int) -> None:
        """Kill the child, and the server if that fails; return when the child has ended."""
        self._server.send({"kill": self._number})
        poll = select.poll()
        poll.register(output, select.POLLIN)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline and not _is_stopped(self._server.pid):
            if poll.poll(POLL_SECONDS * 1000) and not os.read(output, _READ_BYTES):
                return
        self._server.close(kill=True)

    def _exit_error(self, status: int) -> MillpondError:
        """Return the error for a child that ended without an error message."""
        poll = select.poll()
        poll.register(status, select.POLLIN)
        data = os.read(status, _READ_BYTES) if poll.poll(_END_SECONDS * 1000) else b""
        if not data:
            raise ForkServerLostError
        code, seconds = protocol.message_values(data)
        return exit_error(code, seconds, self._request["cpu_seconds"])


def _is_stopped(pid: int) -> bool:
    """Return whether somebody has stopped a process (SIGSTOP, or a debugger)."""
    import psutil  # late: the package is imported on systems without what psutil needs, too

    try:
        return psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    except psutil.Error:
        return False


def _children(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []
