"""What one parser child does: read one file, cut it into chunks, send both as messages, or draw one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from services.errors import BadInputError, MillpondError, TooLargeError
from services.knowledge.parsing import detection, wire
from services.knowledge.types import Section
from services.texts import _

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MEGABYTE = 1024 * 1024
_PROGRESS_SECONDS = 0.1
Write = Callable[[bytes], None]


@dataclass(slots=True)
class Work:
    """One file and what to do with it, as the service asked for it."""

    name: str
    chunk_tokens: int
    overlap: int
    output_mb: int


@dataclass(slots=True)
class _Reporter:
    """Sends how far the work is, not more often than anybody can read."""

    write: Write
    last: float = field(default=0.0)

    def __call__(self, done: int, total: int, unit: str = "page") -> None:
        now = time.monotonic()
        if done == total or now - self.last >= _PROGRESS_SECONDS:
            self.last = now
            self.write(wire.line("progress", done, total, unit))


def parse(stream: BinaryIO, work: Work, tokenizer: Tokenizer, write: Write) -> None:
    """Send sections and chunks of a file, then "end"; an error of any kind becomes an "error" message."""
    try:
        _parse(stream, work, tokenizer, write)
    except MillpondError as error:
        write(wire.error_line(error))
    except MemoryError:
        raise  # the helper tells by the exit status: a message needs memory, too
    except RecursionError:
        write(wire.error_line(_unreadable()))
    except Exception as error:  # noqa: BLE001 - foreign parsers raise anything at all over damaged files
        import traceback

        # Not enough address space shows up as many things, an import that fails among them.
        wanted_memory = "memory" in str(error).lower() or isinstance(error, ImportError)
        write(wire.error_line(out_of_memory() if wanted_memory else _unreadable(), traceback.format_exc(limit=-8)))


def _parse(stream: BinaryIO, work: Work, tokenizer: Tokenizer, write: Write) -> None:
    from services.knowledge.text.chunking import chunk

    kind = detection.detect(stream, work.name)
    report = _Reporter(write)
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
            write(wire.section_line(section))
            yield section

    chunks = 0
    for draft in chunk(sent(), tokenizer, work.chunk_tokens, work.overlap, name=work.name):
        chunks += 1
        write(wire.chunk_line(draft))
    if not found or not chunks:
        raise BadInputError(
            _("The file contains no text."), _("Check that it is not empty and not made of pictures alone.")
        )
    if kind == "pdf":
        from services.knowledge.parsing import pdf

        stream.seek(0)
        pages = pdf.page_count(stream)
    write(wire.line("end", detection.MEDIA_TYPES[kind], pages))


def _sections(kind: str, stream: BinaryIO, work: Work, report: _Reporter) -> Iterator[Section]:
    if kind == "pdf":
        from services.knowledge.parsing import pdf

        return pdf.read(stream, report)
    if kind in {"docx", "pptx", "epub", "xlsx"}:
        from services.knowledge.parsing import office, tables

        office.check_entities(stream)
        return tables.read_xlsx(stream, report) if kind == "xlsx" else office.read(kind, stream, report)
    if kind == "html":
        from services.knowledge.parsing import office

        return office.read(kind, stream, report)
    return _text(kind, stream, work)


def _text(kind: str, stream: BinaryIO, work: Work) -> Iterator[Section]:
    from services.knowledge.parsing import tables
    from services.knowledge.parsing.decoding import decode
    from services.knowledge.parsing.markdown import plain_sections, sections_of

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
    from services.knowledge.parsing import pdf

    try:
        picture = pdf.render(stream, request["page"], request["width"], request["highlight"])
    except MillpondError as error:
        write(wire.error_line(error))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above: the page may hold anything
        import traceback

        write(wire.error_line(_unreadable(), traceback.format_exc(limit=-8)))
    else:
        write(wire.line("png", picture.hex()))


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
