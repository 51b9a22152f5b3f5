"""The helper process: forks one limited child per file, tells how it ended, and goes away when idle or orphaned.

Run as `python -m services.knowledge.parsing.helper CONFIG` with a Unix socket as standard input. The service sends
one JSON line per job along with three descriptors (the file, a pipe for the child's messages, a pipe for its exit
status) and `{"kill": job}` to end one. It is single-threaded, so that forking is safe, and never reads a byte of a
file beyond the first few.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.knowledge.parsing import detection, limits, wire, work
from services.texts import use_language

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_DESCRIPTORS = 3
_LARGEST_MESSAGE = 65_536
_BUFFER_BYTES = 65_536


@dataclass(slots=True)
class Messages:
    """A child's way out: lines gathered into larger writes, progress sent at once."""

    descriptor: int
    pending: list[bytes] = field(default_factory=list)
    size: int = 0

    def __call__(self, data: bytes) -> None:
        self.pending.append(data)
        self.size += len(data)
        if self.size >= _BUFFER_BYTES or data.startswith(b'["progress"'):
            self.flush()

    def flush(self) -> None:
        """Write what is pending; waits while the pipe is full."""
        view = memoryview(b"".join(self.pending))
        self.pending, self.size = [], 0
        while view:
            view = view[os.write(self.descriptor, view) :]


@dataclass(slots=True)
class Child:
    """A running child: its job, and where to tell how it ended."""

    job: int
    status: int


def load_tokenizer(path: str) -> Tokenizer:
    """Return the embedder's tokenizer without the truncation and padding that its file asks for."""
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Helper:
    """The loop of the helper process."""

    def __init__(self, control: socket.socket, config: dict[str, Any]) -> None:
        self._control = control
        self._idle_seconds = float(config["idle_seconds"])
        self._tokenizer = load_tokenizer(config["tokenizer"])
        self._children: dict[int, Child] = {}
        self._received = b""
        self._descriptors: list[int] = []
        self._loaded: set[str] = set()

    def run(self) -> None:
        """Serve until the service closes its end or nothing has been asked for a while."""
        import select

        self._warm_up()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_arguments: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is the service's to handle
        gc.collect()
        gc.freeze()
        while True:
            idle = None if self._children else self._idle_seconds
            ready, _writable, _failed = select.select([self._control.fileno(), wake_read], [], [], idle)
            if not ready and not self._children:
                return
            if wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            self._reap()
            if self._control.fileno() in ready and not self._receive((wake_read, wake_write)):
                self._end_children()
                return

    def _warm_up(self) -> None:
        """Do once what every child does first, so that children share it: it halves the cost of a small file."""
        for name, text in (("sample.md", "# Sample\n\nA short text. 一段短文。\n"), ("sample.csv", "a,b\n1,2\n")):
            sample = work.Work(name, chunk_tokens=16, overlap=4, output_mb=1)
            work.parse(io.BytesIO(text.encode()), sample, self._tokenizer, lambda _message: None)

    def _receive(self, own: tuple[int, ...]) -> bool:
        """Take what the service sent; False at the end of the connection."""
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._control, _LARGEST_MESSAGE, 16 * _DESCRIPTORS)
        except ConnectionError:
            return False
        self._descriptors += descriptors
        if not data:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for message in map(json.loads, lines):
            if "kill" in message:
                self._kill(message["kill"])
            else:
                given, self._descriptors = self._descriptors[:_DESCRIPTORS], self._descriptors[_DESCRIPTORS:]
                self._start(message, given, own)
        return True

    def _start(self, request: dict[str, Any], descriptors: list[int], own: tuple[int, ...]) -> None:
        file, output, status = descriptors
        self._load(os.pread(file, detection.HEAD_BYTES, 0), request["name"])
        own_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                limits.die_with_parent(own_pid)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                for descriptor in (*own, status, *(child.status for child in self._children.values())):
                    os.close(descriptor)
                self._control.close()
                _silence()
                run_child(request, file, output, self._tokenizer)
                code = 0
            except MemoryError:
                # There may be no memory left even for a message.
                code = wire.EXIT_OUT_OF_MEMORY
            finally:
                os._exit(code)
        os.close(file)
        os.close(output)
        self._children[pid] = Child(request["job"], status)

    def _load(self, head: bytes, name: str) -> None:
        """Import what the file will need before forking, so that the children after this one share it."""
        needed = detection.needs(head, name)
        if not needed or needed in self._loaded:
            return
        self._loaded.add(needed)
        # The child tries again and reports what goes wrong.
        with contextlib.suppress(ImportError, MemoryError):
            if needed == "pdf":
                import pypdfium2  # type: ignore[import-untyped]  # noqa: F401
            else:
                from services.knowledge.parsing import office

                office.load()
                if needed == "office":
                    import openpyxl  # type: ignore[import-untyped]  # noqa: F401
        gc.collect()
        gc.freeze()

    def _kill(self, job: int) -> None:
        for pid, child in self._children.items():
            if child.job == job:  # not reaped yet, so the number is still its own
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Tell the service how children ended."""
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            seconds = usage.ru_utime + usage.ru_stime
            with contextlib.suppress(BrokenPipeError):
                os.write(child.status, wire.line("exit", os.waitstatus_to_exitcode(status), seconds))
            os.close(child.status)

    def _end_children(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while self._children and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.005)


def run_child(request: dict[str, Any], file: int, output: int, tokenizer: Tokenizer) -> None:
    """Bind this process to its limits and do the job that was asked for.

    Raises:
        MemoryError: the limit leaves no room.
    """
    write = Messages(output)
    write(wire.line("start", os.getpid()))
    write.flush()
    limits.apply(limits.Limits(request["memory_mb"], request["cpu_seconds"]))
    with os.fdopen(file, "rb") as stream:
        if request["do"] == "render":
            work.render(stream, request, write)
        else:
            task = work.Work(request["name"], request["chunk_tokens"], request["overlap"], request["output_mb"])
            work.parse(stream, task, tokenizer, write)
    write.flush()


def do_one(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Do one job in this process, its messages on standard output: the way where there is no fork."""
    output = os.dup(1)
    _silence()
    file = os.open(request["path"], os.O_RDONLY | getattr(os, "O_BINARY", 0))
    run_child(request, file, output, load_tokenizer(config["tokenizer"]))


def _silence() -> None:
    """Put nothing where the service's own input and output are: libraries print what they like."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def main() -> None:
    """Start the loop with the configuration from the command line, or do the one job that is there, too."""
    config = json.loads(sys.argv[1])
    use_language(config["language"])
    if len(sys.argv) > 2:
        do_one(json.loads(sys.argv[2]), config)
        return
    with socket.socket(fileno=os.dup(0)) as control:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        Helper(control, config).run()


if __name__ == "__main__":
    main()
