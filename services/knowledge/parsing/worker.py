"""A parser child: parses one file under limits and sends its sections and chunks, or renders one page.

Forking costs several times what parsing a small text costs, so a child that has parsed one waits a moment for the
next. Only plain text of moderate size shares a child like this: it goes through no parser but our own.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError, MillpondError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.formats import detect
from services.knowledge.formats.reading import Reading, drop_attachment
from services.knowledge.formats.registry import FORMATS
from services.knowledge.formats.xml_names import is_lack_of_memory
from services.knowledge.notes import NoteCollector
from services.knowledge.parsing import limits, protocol
from services.knowledge.parsing.attachment_writer import AttachmentLimits, AttachmentWriter
from services.knowledge.types import Section

if TYPE_CHECKING:
    from services.knowledge.tokenization.tokenizer import TextTokenizer

_BUFFER_BYTES = 65_536
_LARGEST_MESSAGE = 65_536
# Limits for further jobs of a child: size of a file, number of jobs, CPU seconds used.
SMALL_BYTES = 256 * 1024
MAX_JOBS = 200
_MAX_CPU_SECONDS = 1.0
DONE = b"d"
_PROGRESS_SECONDS = 0.1
Write = Callable[[bytes], None]


@dataclass(slots=True)
class MessageWriter:
    """Writes messages to the service: buffered into larger writes, progress at once."""

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


def load_tokenizer(path: str) -> TextTokenizer:
    """Return the embedder's tokenizer."""
    from services.knowledge.tokenization.loader import open_tokenizer

    return open_tokenizer(Path(path))


def is_small(request: dict[str, Any], head: bytes, size: int) -> bool:
    """Whether a job may run in a child that has run others."""
    return request["do"] == "parse" and size <= SMALL_BYTES and not detect.required_library(head, request["name"])


def run_job(request: dict[str, Any], file: int, output: int, tokenizer: TextTokenizer) -> None:
    """Apply the limits to this process and run a job; `output` stays open.

    Raises:
        MemoryError: the libraries leave no memory under the limit.
    """
    limits.apply(limits.Limits(request["memory_mb"], request["cpu_seconds"]))
    _execute(request, file, output, tokenizer)


def run_more_jobs(channel: socket.socket, output: int, tokenizer: TextTokenizer) -> None:
    """Run the jobs that the fork server sends until it closes its end, or until this process has done enough.

    The server sends nothing before it received `DONE` for the last job, so no job is lost when this returns. It is
    notified before the service (which sees the end of `output`): when the next file comes, it knows of this free child.
    """
    for _job in range(MAX_JOBS):
        used = _cpu_seconds()
        if used > _MAX_CPU_SECONDS:
            return
        channel.send(DONE)
        os.close(output)
        data, descriptors, _flags, _address = socket.recv_fds(channel, _LARGEST_MESSAGE, 2)
        if not data:
            return
        request = json.loads(data)
        limits.set_cpu_limit(math.ceil(used) + request["cpu_seconds"])
        file, output = descriptors
        _execute(request, file, output, tokenizer)


def run_standalone(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Run one job in a process started for it, messages on standard output: for systems without fork."""
    output = os.dup(1)
    silence()
    file = os.open(request["path"], os.O_RDONLY | getattr(os, "O_BINARY", 0))
    run_job(request, file, output, load_tokenizer(config["tokenizer"]))


def silence() -> None:
    """Redirect standard input, output and error to the null device: libraries may print."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _execute(request: dict[str, Any], file: int, output: int, tokenizer: TextTokenizer) -> None:
    write = MessageWriter(output)
    write(protocol.encode_message("start", os.getpid()))
    write.flush()  # from now on the service can see whether this process is running
    with os.fdopen(file, "rb") as stream:
        if request["do"] == "render":
            render(stream, request, write)
        else:
            parse_request = ParseRequest(
                request["name"],
                request["chunk_tokens"],
                request["overlap"],
                request["output_mb"],
                AttachmentLimits(*request["attachments"]) if request.get("attachments") else None,
            )
            parse(stream, parse_request, tokenizer, write)
    write.flush()


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


@dataclass(slots=True)
class ParseRequest:
    """The parameters of a parse job: tokens of the embedder, most MB of text, what attachments may take."""

    name: str
    chunk_tokens: int
    overlap: int
    output_mb: int
    attachments: AttachmentLimits | None = None


@dataclass(slots=True)
class _ProgressWriter:
    """Sends progress messages, at most ten a second."""

    write: Write
    last: float = field(default=0.0)

    def __call__(self, done: int, total: int, unit: str = "page") -> None:
        now = time.monotonic()
        if done == total or now - self.last >= _PROGRESS_SECONDS:
            self.last = now
            self.write(protocol.encode_message("progress", done, total, unit))


def parse(stream: BinaryIO, request: ParseRequest, tokenizer: TextTokenizer, write: Write) -> None:
    """Send the sections and chunks of a file, then "end"; any error becomes an "error" message."""
    try:
        _parse(stream, request, tokenizer, write)
    except MillpondError as error:
        write(protocol.error_message(error))
    except MemoryError:
        raise  # reported by the exit status: a message needs memory, too
    except RecursionError:
        write(protocol.error_message(_unreadable()))
    except Exception as error:  # noqa: BLE001 - parser libraries raise anything at all for damaged files
        import traceback

        # A lack of address space has many symptoms, among them a failed import.
        lacked_memory = "memory" in str(error).lower() or isinstance(error, ImportError) or is_lack_of_memory(error)
        write(
            protocol.error_message(out_of_memory() if lacked_memory else _unreadable(), traceback.format_exc(limit=-8))
        )


def _parse(stream: BinaryIO, request: ParseRequest, tokenizer: TextTokenizer, write: Write) -> None:
    from services.knowledge.text.chunks import chunk_sections

    kind = detect.detect(stream, request.name)
    reading = _reading(request, write)
    pages = 0
    found = False

    def sent() -> Iterator[Section]:
        nonlocal pages, found
        remaining = request.output_mb * MEGABYTE
        for section in FORMATS[kind].read(stream, reading):
            if not section.text.strip():
                continue
            found = True
            remaining -= len(section.text.encode(errors="replace"))
            if remaining < 0:
                raise TooLargeError(
                    _("The file contains more than {limit} MB of text.").format(limit=request.output_mb),
                    _("Split it into smaller files."),
                )
            pages = max(pages, section.page or 0)
            write(protocol.section_message(section))
            yield section

    chunks = 0
    for draft in chunk_sections(sent(), tokenizer, request.chunk_tokens, request.overlap, name=request.name):
        chunks += 1
        write(protocol.chunk_message(draft))
    if not found or not chunks:
        raise BadInputError(
            _("The file contains no text."), _("Check that it is not empty and not made of pictures alone.")
        )
    if kind == "pdf":
        from services.knowledge.formats.pdf import pdf

        stream.seek(0)
        pages = pdf.page_count(stream)
    write(protocol.encode_message("end", FORMATS[kind].media_type, pages, reading.notes.facts()))


def _reading(request: ParseRequest, write: Write) -> Reading:
    notes = NoteCollector()
    attach = drop_attachment if request.attachments is None else AttachmentWriter(write, request.attachments, notes)
    return Reading(request.name, request.output_mb, _ProgressWriter(write), notes, attach)


def render(stream: BinaryIO, request: dict[str, Any], write: Write) -> None:
    """Render a page of a PDF and send it as a message "png"."""
    from services.knowledge.formats.pdf import pdf_pictures

    try:
        image = pdf_pictures.render(stream, request["page"], request["width"], request["highlight"])
    except MillpondError as error:
        write(protocol.error_message(error))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above: the page may contain anything
        import traceback

        write(protocol.error_message(_unreadable(), traceback.format_exc(limit=-8)))
    else:
        write(protocol.encode_message("png", image.hex()))


def out_of_memory() -> TooLargeError:
    """Return the error for a file that needs more memory than the limit."""
    return TooLargeError(
        _("Reading the file needs more memory than one file may use; it was stopped and nothing of it was kept."),
        _("Split it into smaller files, or raise MILLPOND_PARSER_MEMORY_MB."),
    )


def _unreadable() -> BadInputError:
    return BadInputError(
        _("The file is damaged or is not what its name says; it could not be read."),
        _("Check that it opens in the program that made it, save it again there, and upload the copy."),
    )
