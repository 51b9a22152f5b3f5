"""The child side of the helper: does a job under limits, and further small ones while it is warm.

Forking costs several times what reading a small text costs, so a child that has read one waits a moment for the
next. Only plain text of moderate size is shared like this: it goes through no parser but our own.

What one parser child does: read one file, cut it into chunks, send both as messages, or draw one page.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError, MillpondError, TooLargeError
from services.core.i18n import _
from services.knowledge.formats import detect
from services.knowledge.parsing import limits, protocol
from services.knowledge.types import Section

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BUFFER_BYTES = 65_536
_LARGEST_MESSAGE = 65_536
# What a child may have done to be given more.
SMALL_BYTES = 256 * 1024
MOST_JOBS = 200
_MOST_SECONDS = 1.0
DONE = b"d"
MEGABYTE = 1024 * 1024
_PROGRESS_SECONDS = 0.1
Write = Callable[[bytes], None]


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
    return request["do"] == "parse" and size <= SMALL_BYTES and not detect.needs(head, request["name"])


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
    write(protocol.line("start", os.getpid()))
    with os.fdopen(file, "rb") as stream:
        if request["do"] == "render":
            write.flush()
            render(stream, request, write)
        else:
            if os.fstat(file).st_size > SMALL_BYTES:
                write.flush()
            task = ParseRequest(request["name"], request["chunk_tokens"], request["overlap"], request["output_mb"])
            parse(stream, task, tokenizer, write)
    write.flush()


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


@dataclass(slots=True)
class ParseRequest:
    """One file and what to do with it, as the service asked for it."""

    name: str
    chunk_tokens: int
    overlap: int
    output_mb: int


@dataclass(slots=True)
class _ProgressWriter:
    """Sends how far the work is, not more often than anybody can read."""

    write: Write
    last: float = field(default=0.0)

    def __call__(self, done: int, total: int, unit: str = "page") -> None:
        now = time.monotonic()
        if done == total or now - self.last >= _PROGRESS_SECONDS:
            self.last = now
            self.write(protocol.line("progress", done, total, unit))


def parse(stream: BinaryIO, work: ParseRequest, tokenizer: Tokenizer, write: Write) -> None:
    """Send sections and chunks of a file, then "end"; an error of any kind becomes an "error" message."""
    try:
        _parse(stream, work, tokenizer, write)
    except MillpondError as error:
        write(protocol.error_line(error))
    except MemoryError:
        raise  # the helper tells by the exit status: a message needs memory, too
    except RecursionError:
        write(protocol.error_line(_unreadable()))
    except Exception as error:  # noqa: BLE001 - foreign parsers raise anything at all over damaged files
        import traceback

        # Not enough address space shows up as many things, an import that fails among them.
        wanted_memory = "memory" in str(error).lower() or isinstance(error, ImportError)
        write(protocol.error_line(out_of_memory() if wanted_memory else _unreadable(), traceback.format_exc(limit=-8)))


def _parse(stream: BinaryIO, work: ParseRequest, tokenizer: Tokenizer, write: Write) -> None:
    from services.knowledge.text.chunks import chunk

    kind = detect.detect(stream, work.name)
    report = _ProgressWriter(write)
    pages = 0
    found = False

    def sent() -> Iterator[Section]:
        nonlocal pages, found
        room = work.output_mb * MEGABYTE
        for section in _sections(kind, stream, work, report):
            if not section.text.strip():
                continue
            found = True
            room -= len(section.text.encode(errors="replace"))
            if room < 0:
                raise TooLargeError(
                    _("The file contains more than {limit} MB of text.").format(limit=work.output_mb),
                    _("Split it into smaller files."),
                )
            pages = max(pages, section.page or 0)
            write(protocol.section_line(section))
            yield section

    chunks = 0
    for draft in chunk(sent(), tokenizer, work.chunk_tokens, work.overlap, name=work.name):
        chunks += 1
        write(protocol.chunk_line(draft))
    if not found or not chunks:
        raise BadInputError(
            _("The file contains no text."), _("Check that it is not empty and not made of pictures alone.")
        )
    if kind == "pdf":
        from services.knowledge.formats import pdf

        stream.seek(0)
        pages = pdf.page_count(stream)
    write(protocol.line("end", detect.MEDIA_TYPES[kind], pages))


def _sections(kind: str, stream: BinaryIO, work: ParseRequest, report: _ProgressWriter) -> Iterator[Section]:
    if kind == "pdf":
        from services.knowledge.formats import pdf

        return pdf.read(stream, report)
    if kind in {"docx", "pptx", "epub", "xlsx"}:
        from services.knowledge.formats import office, tables

        office.check_entities(stream)
        return tables.read_xlsx(stream, report) if kind == "xlsx" else office.read(kind, stream, report)
    if kind == "html":
        from services.knowledge.formats import office

        return office.read(kind, stream, report)
    return _text(kind, stream, work)


def _text(kind: str, stream: BinaryIO, work: ParseRequest) -> Iterator[Section]:
    from services.knowledge.formats import tables
    from services.knowledge.formats.text import decode, plain_sections, sections_of

    # No encoding takes more than four bytes for one byte of UTF-8.
    data = stream.read(4 * work.output_mb * MEGABYTE + 1)
    if len(data) > 4 * work.output_mb * MEGABYTE:
        raise TooLargeError(
            _("The file contains more than {limit} MB of text.").format(limit=work.output_mb),
            _("Split it into smaller files."),
        )
    text = decode(data)
    del data
    if kind == "csv":
        return tables.read_csv(text)
    return sections_of(text) if kind == "markdown" else plain_sections(text)


def render(stream: BinaryIO, request: dict[str, Any], write: Write) -> None:
    """Send a page as a message "png"."""
    from services.knowledge.formats import pdf

    try:
        picture = pdf.render(stream, request["page"], request["width"], request["highlight"])
    except MillpondError as error:
        write(protocol.error_line(error))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above: the page may hold anything
        import traceback

        write(protocol.error_line(_unreadable(), traceback.format_exc(limit=-8)))
    else:
        write(protocol.line("png", picture.hex()))


def out_of_memory() -> TooLargeError:
    """Return the error for a file that needs more memory than it may have."""
    return TooLargeError(
        _("Reading the file needs more memory than one file may use; it was stopped and nothing of it was kept."),
        _("Split it into smaller files, or raise MILLPOND_PARSER_MEMORY_MB."),
    )


def _unreadable() -> BadInputError:
    return BadInputError(
        _("The file is damaged or is not what its name says; it could not be read."),
        _("Check that it opens in the program that made it, save it again there, and upload the copy."),
    )
