"""Jupyter notebooks: Markdown, code and the text of outputs in order; headings of Markdown cells are the path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import markdown_sections
from services.knowledge.notes import NoteCollector, NoteKind
from services.knowledge.types import Section

# Characters of one output that are kept: its beginning and its end.
_LONGEST_OUTPUT = 4_000
_TEXT_TYPES = ("text/markdown", "text/plain", "text/latex", "application/json")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PICTURE = re.compile(r"!\[([^\]\n]{0,1000})\]\((?:attachment:|data:)[^)\n]*\)")
_TAG = re.compile(r"<[^>]{0,2000}>")


def read_notebook(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a notebook.

    Raises:
        BadInputError: it is no JSON, or has no cells.
    """
    try:
        notebook = json.loads(text_of(stream, reading))
    except ValueError as error:
        raise _damaged() from error
    if not isinstance(notebook, dict):
        raise _damaged()
    cells = notebook.get("cells")
    if cells is None:  # version 3 and before
        cells = [cell for sheet in _list(notebook.get("worksheets")) for cell in _list(_dict(sheet).get("cells"))]
    info = _dict(notebook.get("metadata"))
    language = str(_dict(info.get("language_info")).get("name") or _dict(info.get("kernelspec")).get("language") or "")
    parts = [part for cell in _list(cells) for part in _cell(_dict(cell), language, reading.notes)]
    return markdown_sections("\n\n".join(part for part in parts if part.strip()))


def is_notebook(head: bytes) -> bool:
    """Whether a JSON file that begins like this is a notebook."""
    return b'"cells"' in head and b'"cell_type"' in head


def _damaged() -> BadInputError:
    return BadInputError(
        _("The notebook is damaged: it is not the JSON that notebooks are written in."),
        _("Open it in Jupyter and save it again."),
    )


def _cell(cell: dict[str, Any], language: str, notes: NoteCollector) -> Iterator[str]:
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input", "")))
    if kind == "code":
        yield _fenced(source, language)
        for output in _list(cell.get("outputs")):
            yield from _output(_dict(output), notes)
    elif kind == "heading":
        yield f"{'#' * int(cell.get('level') or 1)} {source}"
    elif kind == "markdown":
        notes_pictures = len(_PICTURE.findall(source))
        if notes_pictures:
            notes.add(NoteKind.PICTURES, notes_pictures)
        yield _PICTURE.sub(lambda match: match[1], source)
    else:
        yield source


def _output(output: dict[str, Any], notes: NoteCollector) -> Iterator[str]:
    if output.get("output_type") in {"error", "pyerr"}:
        trace = "\n".join(map(str, _list(output.get("traceback")))) or f"{output.get('ename')}: {output.get('evalue')}"
        yield _fenced(_bounded(trace, notes))
        return
    data = _dict(output.get("data"))
    if not data:  # version 3 has the types beside each other
        data = {_OLD_TYPES.get(key, key): value for key, value in output.items()}
    if "text" in output:
        yield _fenced(_bounded(_text(output["text"]), notes))
    pictures = [kind for kind in data if kind.startswith("image/")]
    if pictures:
        notes.add(NoteKind.PICTURES)
    for kind in _TEXT_TYPES:
        if kind in data and not (pictures and _text(data[kind]).startswith("<")):
            text = _bounded(_text(data[kind]), notes)
            yield text if kind == "text/markdown" else _fenced(text)
            return
    if "text/html" in data:
        yield _bounded(" ".join(_TAG.sub(" ", _text(data["text/html"])).split()), notes)


_OLD_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "svg": "image/svg+xml",
    "html": "text/html",
    "latex": "text/latex",
}


def _bounded(text: str, notes: NoteCollector) -> str:
    text = _ANSI.sub("", text)
    if len(text) <= _LONGEST_OUTPUT:
        return text
    notes.add(NoteKind.CUT_OUTPUTS)
    half = _LONGEST_OUTPUT // 2
    return f"{text[:half].rstrip()}\n…\n{text[-half:].lstrip()}"


def _fenced(text: str, language: str = "") -> str:
    """Return code in a fence that no line of it closes."""
    if not text.strip():
        return ""
    fence = "```" if not re.search(r"^ {0,3}```", text, re.MULTILINE) else "~~~"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _text(value: object) -> str:
    """Return a text that may be a list of lines; other values as JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
