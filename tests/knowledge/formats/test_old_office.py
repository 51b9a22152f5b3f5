from __future__ import annotations

import tarfile
from pathlib import Path

from services.knowledge.formats.registry import FORMATS
from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing.pools import Parse

FIXTURES = Path(__file__).parents[2] / "fixtures"


def notes(found: ParsedFile) -> dict[str, int]:
    return {note.kind.value: note.count for note in notes_of(found.notes)}


def test_a_word_document_of_before_2007(parse: Parse) -> None:
    """What LibreOffice 7.4 saved as .doc: header, headings, raised digits, merged cells, a box and a comment."""
    found = parse((FIXTURES / "documents" / "text_libreoffice.doc").read_bytes(), "a.doc")
    assert found.media_type == FORMATS["doc"].media_type
    assert "\n\n".join(section.text for section in found.sections).split("\n\n") == [
        "Header: ACME Mill, customer QF-88213 Page 1 of 1",
        "Opening",
        "Kept text 10⁶. Commented word.",
        "Details",
        "Box follows.",
        "| Station | Staff | Staff |\n| --- | --- | --- |\n| Bridge | Mott | day |\n| Bridge | Pell | night |",
        "Emergency valve combination is 7719.",
        "The end.",
        "Comment by Ann Lee: Check this figure",
        "Footer: IBAN XX12 3456",
    ]
    assert found.sections[-1].heading == ("Opening", "Details")
    assert notes(found) == {"old_format": 1, "comments": 1}


def test_a_presentation_of_before_2007(parse: Parse) -> None:
    """Slides are pages with their titles; the notes of a speaker are with their slide."""
    with tarfile.open(FIXTURES / "documents.tar.xz") as archive:
        data = archive.extractfile("libreoffice-slides.ppt").read()  # type: ignore[union-attr]
    found = parse(data, "deck.ppt")
    assert found.media_type == FORMATS["ppt"].media_type
    assert [section.page for section in found.sections] == [1, 2]
    assert [section.text.startswith(section.heading[0]) for section in found.sections] == [True, True]
    assert "\n\nSpeaker notes: Tell the " in found.sections[0].text
    assert notes(found) == {"old_format": 1}
