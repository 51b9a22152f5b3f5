"""`serve --supervise`: a small parent that starts the console again when it ends.

It imports nothing heavy (about 15 MB). It holds the listening socket, so during a restart connections wait instead of
being refused. A planned restart (exit code 75) is followed at once, by the process that was loaded beforehand if there
is one; a crash after a pause that grows; too many in a row, and it gives up.
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

from console.cli.supervisor_link import ENVIRONMENT, How, Said
from services.core.i18n import _

EXIT_CODE = 75  # services.operations.restarts.EXIT_CODE, without what that imports
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0)  # before each new start after a crash, in seconds; then it gives up
STEADY_SECONDS = 60.0  # a process that was ready for so long has not crashed at its start
STOP_SECONDS = 40.0  # for a process that was told to end
_LINE_BYTES = 256


@dataclass
class Child:
    """A process that was started, and what it said."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    how: How
    started: float
    ready_at: float | None = None
    loaded: bool = False
    heard: bytes = field(default=b"")

    def say(self, said: Said) -> None:
        try:
            self.control.sendall(f"{said}\n".encode())
        except OSError:
            return


class Supervisor:
    """Keeps one process running.

    Args:
        command: what to run, with its arguments.
        tell: writes a line for people.
        pauses: seconds before each start after a crash; after the last of them one more crash is one too many.
    """

    def __init__(self, command: Sequence[str], tell: Callable[[str], None], pauses: Sequence[float] = PAUSES) -> None:
        self._command = list(command)
        self._tell = tell
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
        """Supervise until told to stop; returns the exit code."""
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # A hang-up that nohup has had ignored stays so.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # to be woken
        self._selector.register(wake, selectors.EVENT_READ)
        self._current = self._start(How.FIRST)
        while True:
            for key, _events in self._selector.select(self._patience()):
                if key.data is None:
                    wake.recv(1024)
                else:
                    self._hear(key.data)
            if (code := self._turn()) is not None:
                self._end(self._standby)
                return code

    def _patience(self) -> float | None:
        if self._stopping is not None:
            return 1.0
        return None if self._start_at is None else max(0.0, self._start_at - time.monotonic())

    def _turn(self) -> int | None:
        """See what has ended and what is due; return the exit code once all is over."""
        if self._standby is not None and self._standby.process.poll() is not None:
            self._drop(self._standby)
            self._standby = None
            if self._current is not None:
                self._current.say(Said.FAILED)
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
            self._current = self._start(How.NEXT)
        return None

    def _ended(self, child: Child, code: int) -> int | None:
        """Decide what follows the end of the process; return the exit code if nothing does."""
        while child.control in self._controls() and self._hear(child):  # its last words
            pass
        self._drop(child)
        self._current = None
        if self._stopping is not None or code == 0:
            return code if code > 0 and code != EXIT_CODE else 0
        if self._listener < 0 or (child.how is How.FIRST and child.ready_at is None and 0 < code != EXIT_CODE):
            return code if code > 0 else 128 - code  # it cannot start like this, and has said why
        steady = child.ready_at is not None and time.monotonic() - child.ready_at >= STEADY_SECONDS
        if code == EXIT_CODE and child.ready_at is not None:
            self._tell(_("Millpond restarts as planned"))
            self._crashes = 0
            self._follow(0.0)
            return None
        self._crashes = 1 if steady else self._crashes + 1
        how = (
            _("signal {name}").format(name=signal.Signals(-code).name)
            if code < 0
            else _("exit code {code}").format(code=code)
        )
        if self._crashes > len(self._pauses):
            self._tell(
                _(
                    "Millpond ended unexpectedly for the {count}th time in a row ({how}) and is not started again. "
                    "The log says why."
                ).format(how=how, count=self._crashes)
            )
            return code if code > 0 else 128 - code
        pause = self._pauses[self._crashes - 1]
        self._tell(
            _("Millpond ended unexpectedly ({how}); it is started again in {seconds:g} s").format(
                how=how, seconds=pause
            )
        )
        self._follow(pause)
        return None

    def _follow(self, pause: float) -> None:
        if self._standby is not None:
            self._current, self._standby = self._standby, None
        elif pause <= 0:
            self._current = self._start(How.NEXT)
        else:
            self._start_at = time.monotonic() + pause

    def _start(self, how: How) -> Child:
        ours, theirs = socket.socketpair()
        passed = [theirs.fileno()] + ([self._listener] if self._listener >= 0 else [])
        environment = os.environ | {ENVIRONMENT: f"{theirs.fileno()},{self._listener},{how}"}
        # A group of its own: Ctrl-C in a terminal reaches only us, who pass it on once.
        process = subprocess.Popen(  # noqa: S603 - our own command line
            self._command, env=environment, pass_fds=passed, process_group=0
        )
        theirs.close()
        ours.setblocking(False)
        child = Child(process, ours, how, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    def _hear(self, child: Child) -> bool:
        """Take in what a process says; return whether there may be more."""
        try:
            heard, descriptors, _flags, _address = socket.recv_fds(child.control, _LINE_BYTES, 1)
        except BlockingIOError:
            return False
        except OSError:
            heard, descriptors = b"", []
        for descriptor in descriptors:
            if self._listener < 0:
                self._listener = descriptor
            else:
                os.close(descriptor)
        if not heard:
            self._drop(child)
            return False
        *lines, child.heard = (child.heard + heard).split(b"\n")
        for line in lines:
            self._act(child, line.decode(errors="replace"))
        return True

    def _act(self, child: Child, line: str) -> None:
        if line == Said.READY:
            child.ready_at = time.monotonic()
        elif line == Said.PREPARE and child is self._current and self._standby is None and self._stopping is None:
            self._standby = self._start(How.STANDBY)
        elif line == Said.LOADED and child is self._standby:
            child.loaded = True
            if self._current is not None:
                self._current.say(Said.LOADED)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on; the process then ends as it would without us."""
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


def supervise() -> int:
    """Run this very command without `--supervise`, again and again; returns the exit code."""
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--supervise"]
    return Supervisor([sys.executable, *arguments], click.echo).run()
