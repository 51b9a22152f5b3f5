"""Word and PowerPoint files of the format before 2007 (.doc, .ppt), through office_oxide.

The library gives headings, lists, tables with merged cells, headers, notes and comments of Word, and the slides of
PowerPoint; the notes of speakers are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, TableGrid, block_sections
from services.knowledge.formats.foreign import protected
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.symbols import raised
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.types import Section

# Records of a PowerPoint stream: the list of slides, a slide in it, a page of notes, its head, its texts.
_SLIDE_LIST, _SLIDE, _NOTES, _NOTES_HEAD, _WIDE_TEXT, _BYTE_TEXT = 0x0FF0, 0x03F3, 0x03F0, 0x03F1, 0x0FA0, 0x0FA8
_CONTAINER = 0x0F
# Where a file says that it is encrypted: stream, position, bits, their value.
_PROTECTED = {
    "doc": ("WordDocument", 10, 0x0100, 0x0100),
    "ppt": ("Current User", 12, 0xFFFFFFFF, 0xF3D1C4DF),
}
_MOST_DEPTH = 40


def read_doc(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a Word document."""
    reading.notes.add(NoteKind.OLD_FORMAT)
    yield from block_sections(_document(_parts(stream, "doc"), reading.notes))


def read_ppt(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a presentation, slide by slide."""
    reading.notes.add(NoteKind.OLD_FORMAT)
    slides = _parts(stream, "ppt")
    notes = _speaker_notes(stream)
    for number, slide in enumerate(slides, start=1):
        reading.progress(number - 1, len(slides))
        blocks = list(_blocks(slide.get("elements", ()), reading.notes))
        blocks += [marks.speaker_notes(text) for text in notes.get(number, ())]
        yield from block_sections(blocks, page=number)
    reading.progress(len(slides), len(slides))


def _parts(stream: BinaryIO, kind: Literal["doc", "ppt"]) -> list[dict[str, Any]]:
    """Return the sections or slides of a file.

    Raises:
        BadInputError: damaged, or protected with a password.
    """
    from office_oxide import Document

    if _is_protected(stream, kind):
        raise protected()
    stream.seek(0)
    try:
        return list(Document.from_bytes(stream.read(), kind).to_ir()["sections"])
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the library's panics are no `Exception`
        raise BadInputError(
            _("The file is damaged or is not what its name says; it could not be read."),
            _("Open it in the program that made it or in LibreOffice, save it as DOCX or PPTX, and upload that."),
        ) from error


def _is_protected(stream: BinaryIO, kind: str) -> bool:
    """Whether the head of the document's stream says that it is encrypted."""
    import olefile  # type: ignore[import-untyped]

    name, at, mask, wanted = _PROTECTED[kind]
    with olefile.OleFileIO(stream) as parts:
        head = parts.openstream(name).read(32) if parts.exists(name) else b""
    return len(head) >= at + 4 and struct.unpack_from("<I", head, at)[0] & mask == wanted


def _document(sections: list[dict[str, Any]], notes: NoteCollector) -> Iterator[Block]:
    heads, feet = _edges(sections, "header", notes), _edges(sections, "footer", notes)
    yield from marks.header(heads)
    for section in sections:
        yield from _blocks(section.get("elements", ()), notes)
    yield from marks.footer(feet)


def _edges(sections: list[dict[str, Any]], edge: str, notes: NoteCollector) -> list[str]:
    """Return the lines of the headers or footers of all kinds: of first, even and other pages."""
    found = [part for section in sections for key, part in section.items() if key.endswith(edge) and part]
    lines = [block.text for part in found for block in _blocks(part.get("content", ()), notes)]
    return [line for line in lines if not line.strip(" -–—|/").isdecimal()]  # numbers of pages


def _blocks(elements: Any, notes: NoteCollector, depth: int = 0) -> Iterator[Block]:
    """Yield blocks out of the library's elements."""
    if depth > _MOST_DEPTH:
        return
    for each in elements:
        match each.get("type"):
            case "heading":
                yield Block(_line(each.get("content", ())), int(each.get("level", 1)))
            case "paragraph":
                yield Block(_line(each.get("content", ())))
            case "list":
                yield from _items(each, notes, depth)
            case "table":
                yield from _table(each, notes, depth)
            case "footnote" | "endnote":
                yield from _note(each, notes, depth)
            case "image":
                notes.add(NoteKind.PICTURES)
                yield Block(each.get("alt_text") or "")
            case _:
                yield from _blocks(each.get("content") or each.get("elements") or (), notes, depth + 1)


def _line(content: Any) -> str:
    """Return the text of runs."""
    parts: list[str] = []
    for run in content:
        text = run.get("text")
        if text is None:
            text = "\n" if run.get("type") == "line_break" else _line(run.get("content") or ())
        parts.append(raised(text) if run.get("vertical_align") == "superscript" else text)
    return "".join(parts)


def _items(element: dict[str, Any], notes: NoteCollector, depth: int, level: int = 0) -> Iterator[Block]:
    if depth + level > _MOST_DEPTH:
        return
    for item in element.get("items", ()):
        for block in _blocks(item.get("content", ()), notes, depth + 1):
            yield Block(f"{'  ' * level}- {block.text}", item=True)
        if item.get("nested"):
            yield from _items(item["nested"], notes, depth, level + 1)


def _table(element: dict[str, Any], notes: NoteCollector, depth: int) -> Iterator[Block]:
    grid = TableGrid()
    for row in element.get("rows", ()):
        grid.add_row(
            (
                "\n".join(block.text for block in _blocks(cell.get("content", ()), notes, depth + 1)),
                int(cell.get("col_span", 1)),
                int(cell.get("row_span", 1)),
            )
            for cell in row.get("cells", ())
        )
    yield from grid.blocks()


def _note(element: dict[str, Any], notes: NoteCollector, depth: int) -> Iterator[Block]:
    text = " ".join(block.text for block in _blocks(element.get("content", ()), notes, depth + 1))
    if element.get("marker") == "comment":
        notes.add(NoteKind.COMMENTS)
        yield marks.comment(element.get("author") or "", text)
    elif text.strip():
        yield marks.footnote(int(element.get("id", 0)) + 1, text)


def _speaker_notes(stream: BinaryIO) -> dict[int, list[str]]:
    """Return the notes of speakers by the number of the slide."""
    import olefile

    stream.seek(0)
    with olefile.OleFileIO(stream) as parts:
        data = parts.openstream("PowerPoint Document").read()
    slides: list[int] = []
    pages: dict[int, list[str]] = {}
    page = 0
    for kind, instance, body, depth in _records(data, 0, len(data), 0):
        if kind == _NOTES:
            page = 0
        if kind == _SLIDE and instance == 0 and len(body) >= 16:
            slides.append(struct.unpack_from("<I", body, 12)[0])
        elif kind == _NOTES_HEAD and len(body) >= 4:
            page = struct.unpack_from("<I", body)[0]
        elif kind in {_WIDE_TEXT, _BYTE_TEXT} and page and depth > 1:
            text = body.decode("utf-16-le" if kind == _WIDE_TEXT else "latin-1", "replace").replace("\r", "\n").strip()
            found = pages.setdefault(page, [])
            if text and text != "*" and text not in found:
                found.append(text)
    return {slides.index(page) + 1: texts for page, texts in pages.items() if page in slides}


def _records(data: bytes, at: int, end: int, depth: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Yield (kind, instance of the list that holds it, content, depth) of the records, those within others, too."""
    while at + 8 <= end and depth < _MOST_DEPTH:
        head, kind, size = struct.unpack_from("<HHI", data, at)
        start, stop = at + 8, min(at + 8 + size, end)
        if head & 0x0F == _CONTAINER:
            yield kind, head >> 4, b"", depth
            for inner_kind, inner, body, below in _records(data, start, stop, depth + 1):
                yield inner_kind, head >> 4 if kind == _SLIDE_LIST and below == depth + 1 else inner, body, below
        else:
            yield kind, head >> 4, data[start:stop], depth
        at = start + size
