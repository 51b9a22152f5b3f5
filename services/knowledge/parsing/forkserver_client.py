"""The service's side of the helper process: starting it, sending jobs, and not leaving it behind.

One job on its way through a helper: sending it, watching over it, ending it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services.core.errors import BadInputError, CancelledError, MillpondError, StorageError, TimedOutError
from services.core.i18n import _
from services.knowledge.parsing import protocol
from services.knowledge.parsing.limits import minimal_environment
from services.knowledge.parsing.protocol import LineReader, Result
from services.knowledge.parsing.worker import out_of_memory

# Where the helper finds this package, however the service was started.
ROOT = str(Path(__file__).resolve().parents[3])
_END_SECONDS = 5.0
# How often cancellation and deadlines are looked at while a child says nothing.
LOOK_SECONDS = 0.05
_READ_BYTES = 262_144


class ForkServerProcess:
    """One helper process; ends by itself when idle and is then replaced by the pool.

    Args:
        config: "tokenizer" (a path), "language" and "idle_seconds", see `helper`.

    Raises:
        OSError: no process or descriptors can be had.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no input of anybody's
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
        # Waits for the end, so that a helper that went away when idle is no zombie.
        self._reaper = threading.Thread(target=self._reap, name="parser-helper", daemon=True)
        self._reaper.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take jobs."""
        return self._reaper.is_alive()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Send a message; False if the helper has gone."""
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
        """End the helper and its children, and wait for that."""
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
    """The helper process ended before it told how the job ended."""


class Watch:
    """Says when a job has to stop; `hint` is what to do about one that takes more than `wall_seconds`."""

    def __init__(self, cancelled: Callable[[], bool], wall_seconds: float, hint: str) -> None:
        self._cancelled = cancelled
        self._hint = hint
        self._wall_seconds = wall_seconds
        self._deadline = time.monotonic() + wall_seconds

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            CancelledError: nobody wants it any more.
            TimedOutError: it has taken too long.
        """
        if self._cancelled():
            raise CancelledError(_("Reading the file was cancelled; nothing of it was kept."))
        if time.monotonic() >= self._deadline:
            raise TimedOutError(
                _("Reading the file took more than {seconds} s and was stopped.").format(
                    seconds=round(self._wall_seconds)
                ),
                self._hint,
            )


class ParseJob:
    """A file that a child of `helper` reads; `started` is called with the child's process number.

    Raises (from `run`):
        MillpondError: how it ended if not well; the child is gone then.
        HelperLostError: nobody knows how it ended.
    """

    def __init__(
        self, helper: ForkServerProcess, number: int, request: dict[str, Any], started: Callable[[int], None]
    ) -> None:
        self._helper = helper
        self._number = number
        self._request = {**request, "job": number}
        self._started = started

    def run(self, path: Path, result: Result, watch: Watch) -> None:
        """Send the file and feed `result` until the child has ended."""
        with ExitStack() as open_files:
            output, status = self._send(path, open_files)
            try:
                self._follow(output, result, watch)
            except BaseException:
                self._kill(output)
                raise
            if result.error is None and not result.complete:
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
            raise ForkServerLostError
        return output, status

    def _follow(self, output: int, result: Result, watch: Watch) -> None:
        lines = LineReader(self._request["output_mb"])
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while True:
            watch.check()
            if not poll.poll(LOOK_SECONDS * 1000):
                continue
            data = os.read(output, _READ_BYTES)
            if not data:
                return
            for message in lines.cut(data):
                if protocol.kind_of(message) == "start":
                    self._started(protocol.values_of(message)[0])
                else:
                    result.take(message)

    def _kill(self, output: int) -> None:
        """End the child, and the helper if it does not obey; returns when the child is gone."""
        self._helper.send({"kill": self._number})
        poll = select.poll()
        poll.register(output, select.POLLIN)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            if poll.poll(LOOK_SECONDS * 1000) and not os.read(output, _READ_BYTES):
                return
        self._helper.close(kill=True)

    def _explained(self, status: int) -> MillpondError:
        """Return the error for a child that ended without saying why."""
        poll = select.poll()
        poll.register(status, select.POLLIN)
        data = os.read(status, _READ_BYTES) if poll.poll(_END_SECONDS * 1000) else b""
        if not data:
            raise ForkServerLostError
        code, seconds = protocol.values_of(data)
        return explained(code, seconds, self._request["cpu_seconds"])


def explained(code: int, seconds: float, allowed: int) -> MillpondError:
    """Return the error for a child by its exit code (negative: a signal) and the processor time that it used."""
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= allowed):
        return TimedOutError(
            _("Reading the file took more than {seconds} s of processor time and was stopped.").format(seconds=allowed),
            _("Split it into smaller files, or raise MILLPOND_PARSER_CPU_SECONDS."),
        )
    if code in {-signal.SIGKILL, protocol.EXIT_OUT_OF_MEMORY}:
        return out_of_memory()
    return BadInputError(
        _("Reading the file made the parser crash; the file is damaged, or needs more memory than it may have."),
        _("Open it in the program that made it, save it again there, and upload the copy."),
    )
