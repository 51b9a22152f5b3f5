"""The fork server: forks children with limits to parse files, reports their exit, ends when idle or orphaned.

Run as `python -m services.knowledge.parsing.forkserver CONFIG` with a Unix socket as standard input. The service sends
one JSON line per job along with three descriptors (the file, a pipe for the child's messages, a pipe for its exit
status) and `{"kill": job}` to kill one. It is single-threaded, so that forking is safe, and reads no more of a file
than its header.
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
from dataclasses import dataclass
from typing import Any

from services.knowledge.formats import detect
from services.knowledge.parsing import limits, protocol, worker
from services.knowledge.parsing.recognizer_process import RecognizerProcess

_DESCRIPTORS = 3
_LARGEST_MESSAGE = 65_536
# Libraries of files that may have pages to be read by text recognition.
_SCANS = ("pdf", "picture")


@dataclass(slots=True)
class WorkerProcess:
    """A child: its job, the pipe for its exit status, the socket for further jobs, and since when it is idle.

    `recognizer`: the socket through which it gets connections with the process that recognises text.
    """

    job: int
    status: int
    channel: socket.socket | None = None
    limits: tuple[int, int] = (0, 0)
    idle_since: float | None = None
    killed: bool = False
    recognizer: socket.socket | None = None

    def close(self) -> None:
        """Close the sockets."""
        for each in (self.channel, self.recognizer):
            if each is not None:
                each.close()


class ForkServer:
    """The event loop of the fork server."""

    def __init__(self, control: socket.socket, config: dict[str, Any]) -> None:
        self._control = control
        self._idle_seconds = float(config["idle_seconds"])
        self._warm_seconds = float(config["warm_seconds"])
        self._tokenizer = worker.load_tokenizer(config["tokenizer"])
        self._children: dict[int, WorkerProcess] = {}
        self._received = b""
        self._descriptors: list[int] = []
        self._loaded: set[str] = set()
        self._recognizer = RecognizerProcess(config["recognizer"])

    def run(self) -> None:
        """Serve until the service closes its end or no job has come for `idle_seconds`."""
        import select

        self._warm_up()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_arguments: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles Ctrl+C in a terminal
        gc.collect()
        gc.freeze()
        while True:
            channels = {one.channel: one for one in self._children.values() if one.channel is not None}
            watched: list[Any] = [self._control, wake_read, *channels]
            ready, _writable, _failed = select.select(watched, [], [], self._timeout())
            if wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            for channel, running in channels.items():
                if channel in ready:
                    self._handle_done(running, channel)
            self._reap()
            if self._control in ready and not self._receive((wake_read, wake_write)):
                self._kill_children()
                return
            if not ready and not self._children:
                return
            self._retire()

    def _timeout(self) -> float | None:
        """Return the timeout of the event loop in seconds."""
        if not self._children:
            return self._idle_seconds
        if any(one.idle_since is not None for one in self._children.values()):
            return self._warm_seconds
        return None

    @staticmethod
    def _handle_done(running: WorkerProcess, channel: socket.socket) -> None:
        """Handle `DONE` of a child, or the end of its socket."""
        try:
            received = channel.recv(16)
        except ConnectionError:
            received = b""
        if received and running.killed:
            return
        if received:
            running.idle_since = time.monotonic()
            _send_exit(running.status, 0, 0.0)
        else:
            channel.close()
            running.channel = None

    def _retire(self) -> None:
        """Close the sockets of children that have been idle for `warm_seconds`: they end."""
        now = time.monotonic()
        for one in self._children.values():
            if one.channel is not None and one.idle_since is not None and now - one.idle_since >= self._warm_seconds:
                one.channel.close()
                one.channel = None

    def _warm_up(self) -> None:
        """Parse samples, so that children share what parsing initialises: it halves the cost of a small file."""
        for name, text in (("sample.md", "# Sample\n\nA short text. 一段短文。\n"), ("sample.csv", "a,b\n1,2\n")):
            sample = worker.ParseRequest(name, chunk_tokens=16, overlap=4, output_mb=1)
            worker.parse(io.BytesIO(text.encode()), sample, self._tokenizer, lambda _message: None)

    def _receive(self, own: tuple[int, ...]) -> bool:
        """Handle messages of the service; false at the end of the connection."""
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
            elif "recognizer" in message:
                self._connect(message["recognizer"])
            else:
                attached, self._descriptors = self._descriptors[:_DESCRIPTORS], self._descriptors[_DESCRIPTORS:]
                self._start(message, attached, own)
        return True

    def _start(self, request: dict[str, Any], descriptors: list[int], own: tuple[int, ...]) -> None:
        file, output, _status = descriptors
        head = os.pread(file, detect.HEAD_BYTES, 0)
        small = worker.is_small(request, head, os.fstat(file).st_size)
        if not (small and self._reuse_child(request, descriptors)):
            library = self._load(head, request["name"])
            self._fork(request, descriptors, own, small=small, scans=library in _SCANS and bool(request.get("ocr")))
        os.close(file)
        os.close(output)

    def _reuse_child(self, request: dict[str, Any], descriptors: list[int]) -> bool:
        """Send a small job to an idle child; false if there is none."""
        file, output, status = descriptors
        for idle in self._children.values():
            if idle.idle_since is None or idle.channel is None or idle.limits != _limits(request):
                continue
            try:
                socket.send_fds(idle.channel, [json.dumps(request).encode()], [file, output])
            except OSError:
                continue
            idle.job, idle.status, idle.idle_since = request["job"], status, None
            return True
        return False

    def _fork(
        self, request: dict[str, Any], descriptors: list[int], own: tuple[int, ...], *, small: bool, scans: bool
    ) -> None:
        file, output, status = descriptors
        channel, theirs = socket.socketpair() if small else (None, None)
        connections, recognizer = socket.socketpair() if scans else (None, None)
        own_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                limits.die_with_parent(own_pid)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                self._close_for_child((channel, connections), [*own, status])
                worker.silence()
                worker.run_job(request, file, output, self._tokenizer, recognizer)
                if theirs is not None:
                    worker.run_more_jobs(theirs, output, self._tokenizer)
                code = 0
            except MemoryError:
                # There may be no memory even for a message.
                code = protocol.EXIT_OUT_OF_MEMORY
            finally:
                os._exit(code)
        for each in (theirs, recognizer):
            if each is not None:
                each.close()
        self._children[pid] = WorkerProcess(request["job"], status, channel, _limits(request), recognizer=connections)

    def _close_for_child(self, ours: tuple[socket.socket | None, ...], descriptors: list[int]) -> None:
        """Close in a new child the descriptors of the server and of other children."""
        for sibling in self._children.values():
            if sibling.idle_since is None:
                descriptors.append(sibling.status)
            sibling.close()
        for descriptor in descriptors:
            os.close(descriptor)
        for each in ours:
            if each is not None:
                each.close()
        self._recognizer.close()
        self._control.close()

    def _connect(self, job: int) -> None:
        """Connect the child of a job with the process that recognises text."""
        for running in self._children.values():
            if running.job == job and running.idle_since is None and running.recognizer is not None:
                self._recognizer.connect(running.recognizer)

    def _load(self, head: bytes, name: str) -> str:
        """Import the libraries that the file needs before forking, so that later children share them; return which."""
        needed = detect.required_library(head, name)
        if not needed or needed in self._loaded:
            return needed
        self._loaded.add(needed)
        # The child tries again and reports the error.
        with contextlib.suppress(ImportError, MemoryError):
            if needed == "pdf":
                import pypdfium2  # type: ignore[import-untyped]  # noqa: F401
            elif needed == "picture":
                import PIL.Image  # noqa: F401
            else:
                import lxml.etree  # type: ignore[import-untyped]  # noqa: F401

                from services.knowledge.formats.web import web_pages  # noqa: F401

                if needed == "office":
                    from services.knowledge.formats.web import books  # noqa: F401
        gc.collect()
        gc.freeze()
        return needed

    def _kill(self, job: int) -> None:
        for pid, running in self._children.items():
            # Not reaped yet, so the pid is still its own; an idle child has finished the job already.
            if running.job == job and running.idle_since is None:
                running.killed = True
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Reap children and report their exit to the service."""
        while self._children or self._recognizer.pids:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._recognizer.reaped(pid):
                continue
            ended = self._children.pop(pid)
            ended.close()
            if ended.idle_since is None:
                _send_exit(ended.status, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)

    def _kill_children(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        self._recognizer.kill()
        deadline = time.monotonic() + 5
        while (self._children or self._recognizer.pids) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.005)


def _limits(request: dict[str, Any]) -> tuple[int, int]:
    return request["memory_mb"], request["cpu_seconds"]


def _send_exit(status: int, code: int, seconds: float) -> None:
    """Send the exit code and the CPU seconds of a job."""
    with contextlib.suppress(BrokenPipeError):
        os.write(status, protocol.encode_message("exit", code, seconds))
    os.close(status)


def main() -> None:
    """Start the event loop with the configuration on the command line, or run the one job given there, too."""
    config = json.loads(sys.argv[1])
    if len(sys.argv) > 2:
        worker.run_standalone(json.loads(sys.argv[2]), config)
        return
    with socket.socket(fileno=os.dup(0)) as control:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        ForkServer(control, config).run()


if __name__ == "__main__":
    main()
