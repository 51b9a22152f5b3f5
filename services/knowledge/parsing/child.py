"""The child side of the helper: does a job under limits, and further small ones while it is warm.

Forking costs several times what reading a small text costs, so a child that has read one waits a moment for the
next. Only plain text of moderate size is shared like this: it goes through no parser but our own.
"""

from __future__ import annotations

import json
import math
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.knowledge.parsing import detection, limits, wire, work

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BUFFER_BYTES = 65_536
_LARGEST_MESSAGE = 65_536
# What a child may have done to be given more.
SMALL_BYTES = 256 * 1024
MOST_JOBS = 200
_MOST_SECONDS = 1.0
DONE = b"d"


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


def load_tokenizer(path: str) -> Tokenizer:
    """Return the embedder's tokenizer without the truncation and padding that its file asks for."""
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def is_small(request: dict[str, Any], head: bytes, size: int) -> bool:
    """Whether a job may be done by a child that has done others."""
    return request["do"] == "parse" and size <= SMALL_BYTES and not detection.needs(head, request["name"])


def run(request: dict[str, Any], file: int, output: int, tokenizer: Tokenizer) -> None:
    """Bind this process to its limits and do the job that was asked for; `output` stays open.

    Raises:
        MemoryError: the limit leaves no room.
    """
    limits.apply(limits.Limits(request["memory_mb"], request["cpu_seconds"]))
    _do(request, file, output, tokenizer)


def run_more(channel: socket.socket, output: int, tokenizer: Tokenizer) -> None:
    """Do the jobs that the helper sends until it closes its end, or until this process has done enough.

    The helper sends nothing before it was told that the last job is done, so no job is lost when this returns. It is
    told before the service is (by the end of `output`): when the next file comes, it knows that this child is free.
    """
    for _job in range(MOST_JOBS):
        used = _processor_seconds()
        if used > _MOST_SECONDS:
            return
        channel.send(DONE)
        os.close(output)
        data, descriptors, _flags, _address = socket.recv_fds(channel, _LARGEST_MESSAGE, 2)
        if not data:
            return
        request = json.loads(data)
        limits.allow_seconds(math.ceil(used) + request["cpu_seconds"])
        file, output = descriptors
        _do(request, file, output, tokenizer)


def run_alone(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Do one job in a process that was started for it, messages on standard output: for systems without fork."""
    output = os.dup(1)
    silence()
    file = os.open(request["path"], os.O_RDONLY | getattr(os, "O_BINARY", 0))
    run(request, file, output, load_tokenizer(config["tokenizer"]))


def silence() -> None:
    """Put nothing where the service's own input and output are: libraries print what they like."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _do(request: dict[str, Any], file: int, output: int, tokenizer: Tokenizer) -> None:
    write = Messages(output)
    write(wire.line("start", os.getpid()))
    with os.fdopen(file, "rb") as stream:
        if request["do"] == "render":
            write.flush()
            work.render(stream, request, write)
        else:
            if os.fstat(file).st_size > SMALL_BYTES:
                write.flush()
            task = work.Work(request["name"], request["chunk_tokens"], request["overlap"], request["output_mb"])
            work.parse(stream, task, tokenizer, write)
    write.flush()


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system
