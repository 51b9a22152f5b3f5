"""Documents by many programs (`tests.document_set`): the words that were put into a file are in its text again."""

from __future__ import annotations

import json
import tarfile
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from services.knowledge.notes import notes_of
from tests.document_set.content import Content
from tests.knowledge.parsing.pools import Parse

ARCHIVE = Path(__file__).parents[2] / "fixtures" / "documents.tar.xz"
# Their sentences have to be right as a whole: an encoding that was guessed wrongly keeps the word.
OTHER_LETTERS = {"umlauts", "chinese", "traditional", "japanese", "korean", "russian", "greek", "polish"}
# The program that made them had no font, no encoding, or another notation for these.
LOST_WHEN_MADE = {
    "abiword.pdf", "gnumeric-excel_biff7.xls", "libreoffice-sheet.csv", "pandoc-man.txt", "pyrtf_document.rtf"
}  # fmt: skip


def _members() -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the bytes of each file, and what made it with which words."""
    with tarfile.open(ARCHIVE) as archive:
        data = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    return data, json.loads(data.pop("manifest.json"))


def _letters(text: str) -> str:
    """Return what remains of a text without hyphens, line ends and ligatures."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).lower() if letter.isalnum())


def test_no_text_is_lost(parse: Parse) -> None:
    """Each file gives all its words, as text and in chunks."""
    lost: dict[str, object] = {}
    data, manifest = _members()
    for name, content in data.items():
        found = parse(content, name)
        text = _letters(" ".join(f"{section.text} {section.sheet}" for section in found.sections))
        chunks = _letters(" ".join(f"{chunk.text} {chunk.sheet}" for chunk in found.chunks))
        words = manifest[name]["words"]
        missing = sorted(part for part, word in words.items() if word not in text)
        others = OTHER_LETTERS & words.keys() if name not in LOST_WHEN_MADE else set()
        missing += sorted(part for part in others if _letters(Content(name).text(part)) not in text)
        missing += sorted(f"{part} in no chunk" for part, word in words.items() if word not in chunks)
        if missing:
            lost[name] = (missing, [note.text for note in notes_of(found.notes)])
    assert lost == {}


def test_the_set_is_wide() -> None:
    """At least 150 files, 25 formats, and three programs for the formats that so many write."""
    _data, manifest = _members()
    programs: dict[str, set[str]] = {}
    for name, entry in manifest.items():
        programs.setdefault(Path(name).suffix, set()).add(entry["program"].split()[0])
    assert len(manifest) >= 150
    assert len(programs) >= 25
    assert Counter(len(made) >= 3 for made in programs.values())[True] >= 9
