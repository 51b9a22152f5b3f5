"""`serve --supervise`: a small parent process that starts the console again when it ends.

It imports nothing heavy (about 15 MB). It holds the listening socket, so during a restart connections wait instead of
being refused. A planned restart (exit code 75) is followed at once, by the process that was loaded beforehand if there
is one; a crash after a pause that grows; after too many in a row the supervisor ends.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

import click

from console.cli.supervisor_link import ENVIRONMENT, LinkMessage, StartMode
from services.core.i18n import _

EXIT_CODE = 75  # services.operations.restarts.EXIT_CODE, without what that imports
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0)  # before each new start after a crash; then the supervisor ends
STEADY_SECONDS = 60.0  # a crash after this time of being ready is not counted as one in a row
STOP_SECONDS = 40.0  # for a process that was signalled to end
_LINE_BYTES = 256


@dataclass
class Child:
    """A process that was started, and what it has sent."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    mode: StartMode
    started: float
    ready_at: float | None = None
    loaded: bool = False
    buffer: bytes = field(default=b"")

    def send(self, message: LinkMessage) -> None:
        try:
            self.control.sendall(f"{message}\n".encode())
        except OSError:
            return


class Supervisor:
    """Keeps one process running.

    Args:
        command: what to run, with its arguments.
        echo: prints a line for people.
        pauses: seconds before each start after a crash; one more crash than there are pauses ends the supervisor.
    """

    def __init__(
        self, command: Sequence[str], echo: Callable[[str], None], pauses: Sequence[float] = BACK_OFF_SECONDS
    ) -> None:
        self._command = list(command)
        self._echo = echo
        self._pauses = pauses
        self._selector = selectors.DefaultSelector()
        self._listener = -1
        self._current: Child | None = None
        self._standby: Child | None = None
        self._crashes = 0
        self._start_at: float | None = None
        self._stopping: signal.Signals | None = None
        self._kill_at = 0.0

    def run(self) -> int:
        """Supervise until a signal or too many crashes; returns the exit code."""
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # A hang-up signal that nohup ignores stays ignored.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # wakes the selector
        self._selector.register(wake, selectors.EVENT_READ)
        self._current = self._start(StartMode.FIRST)
        while True:
            for key, _events in self._selector.select(self._timeout()):
                if key.data is None:
                    wake.recv(1024)
                else:
                    self._receive(key.data)
            if (code := self._step()) is not None:
                self._end(self._standby)
                return code

    def _timeout(self) -> float | None:
        if self._stopping is not None:
            return 1.0
        return None if self._start_at is None else max(0.0, self._start_at - time.monotonic())

    def _step(self) -> int | None:
        """Handle processes that have ended and starts that are due; return the exit code once all is over."""
        if self._standby is not None and (code := self._standby.process.poll()) is not None:
            if self._stopping is None:
                self._echo(_("The next Millpond ended unexpectedly ({how})").format(how=_how(code)))
            self._drop(self._standby)
            self._standby = None
            if self._current is not None:
                self._current.send(LinkMessage.FAILED)
        if self._current is not None:
            code = self._current.process.poll()
            if code is not None:
                return self._ended(self._current, code)
            if self._stopping is not None and time.monotonic() > self._kill_at:
                self._current.process.kill()
        elif self._stopping is not None:
            return 0
        elif self._start_at is not None and time.monotonic() >= self._start_at:
            self._start_at = None
            self._current = self._start(StartMode.NEXT)
        return None

    def _ended(self, child: Child, code: int) -> int | None:
        """Decide what follows the end of the process; return the exit code if nothing does."""
        while child.control in self._controls() and self._receive(child):  # its last messages
            pass
        self._drop(child)
        self._current = None
        if self._stopping is not None or code == 0:
            return code if code > 0 and code != EXIT_CODE else 0
        if self._listener < 0 or (child.mode is StartMode.FIRST and child.ready_at is None and 0 < code != EXIT_CODE):
            return code if code > 0 else 128 - code  # it cannot start like this, and has said why
        steady = child.ready_at is not None and time.monotonic() - child.ready_at >= STEADY_SECONDS
        if code == EXIT_CODE and child.ready_at is not None:
            self._echo(_("Millpond restarts as planned"))
            self._crashes = 0
            self._start_next(0.0)
            return None
        self._crashes = 1 if steady else self._crashes + 1
        how = _how(code)
        if self._crashes > len(self._pauses):
            self._echo(
                _(
                    "Millpond ended unexpectedly for the {count}th time in a row ({how}) and is not started again. "
                    "The log says why."
                ).format(how=how, count=self._crashes)
            )
            return code if code > 0 else 128 - code
        pause = self._pauses[self._crashes - 1]
        self._echo(
            _("Millpond ended unexpectedly ({how}); it is started again in {seconds:g} s").format(
                how=how, seconds=pause
            )
        )
        self._start_next(pause)
        return None

    def _start_next(self, pause: float) -> None:
        if self._standby is not None:
            self._current, self._standby = self._standby, None
        elif pause <= 0:
            self._current = self._start(StartMode.NEXT)
        else:
            self._start_at = time.monotonic() + pause

    def _start(self, mode: StartMode) -> Child:
        ours, theirs = socket.socketpair()
        passed = [theirs.fileno()] + ([self._listener] if self._listener >= 0 else [])
        environment = os.environ | {ENVIRONMENT: f"{theirs.fileno()},{self._listener},{mode}"}
        # A group of its own: Ctrl-C in a terminal reaches only the supervisor, which passes it on once.
        process = subprocess.Popen(  # noqa: S603 - our own command line
            self._command, env=environment, pass_fds=passed, process_group=0
        )
        theirs.close()
        ours.setblocking(False)
        child = Child(process, ours, mode, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    def _receive(self, child: Child) -> bool:
        """Receive messages of a process; return whether there may be more."""
        try:
            received, descriptors, _flags, _address = socket.recv_fds(child.control, _LINE_BYTES, 1)
        except BlockingIOError:
            return False
        except OSError:
            received, descriptors = b"", []
        for descriptor in descriptors:
            if self._listener < 0:
                self._listener = descriptor
            else:
                os.close(descriptor)
        if not received:
            self._drop(child)
            return False
        *lines, child.buffer = (child.buffer + received).split(b"\n")
        for line in lines:
            self._handle(child, line.decode(errors="replace"))
        return True

    def _handle(self, child: Child, line: str) -> None:
        if line == LinkMessage.READY:
            child.ready_at = time.monotonic()
        elif (
            line == LinkMessage.PREPARE and child is self._current and self._standby is None and self._stopping is None
        ):
            self._standby = self._start(StartMode.STANDBY)
        elif line == LinkMessage.LOADED and child is self._standby:
            child.loaded = True
            if self._current is not None:
                self._current.send(LinkMessage.LOADED)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on; the process then ends as it would without a supervisor."""
        first = self._stopping is None
        self._stopping = signal.Signals(number)
        if first:
            self._kill_at = time.monotonic() + STOP_SECONDS
        for child in (self._current, self._standby):
            if child is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    def _end(self, child: Child | None) -> None:
        if child is None or child.process.poll() is not None:
            return
        child.process.terminate()
        try:
            child.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()

    def _drop(self, child: Child) -> None:
        if child.control in self._controls():
            self._selector.unregister(child.control)
            child.control.close()

    def _controls(self) -> set[object]:
        return {key.fileobj for key in self._selector.get_map().values()}


def _how(code: int) -> str:
    """Return how a process ended, in words."""
    if code < 0:
        return _("signal {name}").format(name=signal.Signals(-code).name)
    return _("exit code {code}").format(code=code)


def supervise() -> int:
    """Supervise this very command without `--supervise`; returns the exit code."""
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--supervise"]
    return Supervisor([sys.executable, *arguments], click.echo).run()
