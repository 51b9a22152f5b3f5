from __future__ import annotations

import io

import pytest

from services.core.errors import BadInputError
from services.knowledge.formats.registry import FORMATS
from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

_SPACES = {
    "office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style", "svg": "svg-compatible",
    "presentation": "presentation", "form": "form",
}  # fmt: skip
NAMESPACES = " ".join(
    [f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for prefix, name in _SPACES.items()]
    + ['xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"']
)
STYLES = """<office:styles><style:style style:name="Title" style:family="paragraph"/><text:outline-style style:name="O">
<text:outline-level-style text:level="1" style:num-format="1"/><text:outline-level-style text:level="2"
 style:num-format="1" text:display-levels="2"/></text:outline-style></office:styles>"""
AUTOMATIC = """<office:automatic-styles><style:style style:name="P1" style:parent-style-name="Title"/>
<style:style style:name="Up"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="Gone"><style:text-properties text:display="none"/></style:style>
<style:style style:name="dp2"><style:drawing-page-properties presentation:visibility="hidden"/></style:style>
<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."
 text:start-value="3"/><text:list-level-style-bullet text:level="2" text:bullet-char="x"/></text:list-style>
</office:automatic-styles>"""
TEXT = "application/vnd.oasis.opendocument.text"


def text_of(found: ParsedFile) -> str:
    return "\n\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> dict[str, int]:
    return {note.kind.value: note.count for note in notes_of(found.notes)}


def package(body: str, masters: str = "", mimetype: str = TEXT, parts: dict[str, bytes | str] | None = None) -> bytes:
    return samples.zipped(
        {
            "mimetype": mimetype,
            "content.xml": f"<office:document-content {NAMESPACES}>{AUTOMATIC}<office:body>{body}</office:body>"
            "</office:document-content>",
            "styles.xml": f"<office:document-styles {NAMESPACES}>{STYLES}<office:master-styles>{masters}"
            "</office:master-styles></office:document-styles>",
            **(parts or {}),
        }
    )


def odt(body: str, masters: str = "", parts: dict[str, bytes | str] | None = None) -> bytes:
    return package(f"<office:text>{body}</office:text>", masters, parts=parts)


BODY = """<text:tracked-changes><text:changed-region><text:deletion><text:p>removed</text:p></text:deletion>
</text:changed-region></text:tracked-changes>
<text:p text:style-name="P1">Handbook</text:p><text:h text:outline-level="1">Leave</text:h>
<text:p>Three<text:s text:c="2"/>months<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation>
<text:note-body><text:p>Except in May.</text:p></text:note-body></text:note>,<text:tab/>10<text:span
 text:style-name="Up">6</text:span><text:span text:style-name="Gone">secret</text:span><office:annotation>
<dc:creator>Ann Lee</dc:creator><dc:date>2026-01-01</dc:date><text:p>Still true?</text:p></office:annotation>.</text:p>
<text:h text:outline-level="2">Days</text:h>
<text:list text:style-name="L1"><text:list-item><text:p>third</text:p><text:list><text:list-item><text:p>inner</text:p>
</text:list-item></text:list></text:list-item><text:list-item><text:p>fourth</text:p></text:list-item></text:list>
<text:p>Box follows.<draw:frame><draw:text-box><text:p>Valve 7719.</text:p></draw:text-box></draw:frame></text:p>
<draw:g><draw:custom-shape><text:p>In a group</text:p></draw:custom-shape></draw:g>
<text:p><draw:frame><draw:image xlink:href="Pictures/a.png"/><svg:desc>Plan of the yard</svg:desc></draw:frame></text:p>
<text:p>So <draw:frame><draw:object xlink:href="./Object 1"/><draw:image xlink:href="x"/></draw:frame> holds.</text:p>
<text:p><text:a xlink:href="mailto:a@b.example?subject=x">write</text:a><text:line-break/><text:ruby><text:ruby-base>漢
</text:ruby-base><text:ruby-text>kan</text:ruby-text></text:ruby></text:p>"""
MASTERS = """<style:master-page style:name="Standard"><style:header><text:p>Quillfeather QF-1<text:tab/>Page
 <text:page-number>1</text:page-number>
 of
 <text:page-count>9</text:page-count></text:p></style:header>
<style:header-first><text:p>Quillfeather QF-1</text:p></style:header-first>
<style:footer><text:p>IBAN XX12</text:p></style:footer></style:master-page>"""
FORMULA = '<math xmlns="http://www.w3.org/1998/Math/MathML"><mfrac><mi>a</mi><mn>2</mn></mfrac></math>'


def test_a_text_with_all_that_stands_beside_it(parse: Parse) -> None:
    """Headings with their numbers, lists, notes, comments, boxes, equations, headers: in place and marked."""
    found = parse(odt(BODY, MASTERS, {"Object 1/content.xml": FORMULA}), "a.odt")
    assert found.media_type == FORMATS["odt"].media_type
    assert text_of(found).split("\n\n") == [
        "Header: Quillfeather QF-1",
        "Handbook",
        "1 Leave",
        "Three  months (footnote 1),\t10⁶.",
        "Footnote 1: Except in May.",
        "Comment by Ann Lee: Still true?",
        "1.1 Days",
        "3. third\n  - inner\n4. fourth",
        "Box follows.",
        "Valve 7719.",
        "In a group",
        "Plan of the yard",
        "So a/2 holds.",
        "write (a@b.example)\n漢",
        "Footer: IBAN XX12",
    ]
    assert found.sections[-1].heading == ("Handbook", "1 Leave", "1.1 Days")
    assert notes(found) == {
        "deleted_text": 1, "hidden_text": 1, "comments": 1, "pictures": 1, "equations": 1, "reading_aids": 1,
    }  # fmt: skip


BOXED = "<text:p>within</text:p>"


def cell(text: str, **spans: int) -> str:
    across = "".join(f' table:number-{name}-spanned="{count}"' for name, count in spans.items())
    return f"<table:table-cell{across}><text:p>{text}</text:p></table:table-cell>"


def test_tables(parse: Parse) -> None:
    """Merged cells fill what they cover; header rows are told; repeated cells are there; a frame is no table."""
    covered = "<table:covered-table-cell/>"
    lines = [
        cell("Station") + cell("Staff", columns=2) + covered,
        cell("Bridge", rows=2) + cell("Mott") + cell("day"),
        covered + cell("Pell") + cell("night"),
        '<table:table-cell table:number-columns-repeated="3"><text:p>same</text:p></table:table-cell>',
        (
            f"<table:table-cell><text:p>box<draw:frame><draw:text-box>{BOXED}</draw:text-box></draw:frame></text:p>"
            f"</table:table-cell>{cell('')}{cell('z')}"
        ),
    ]
    rows = [f"<table:table-row>{line}</table:table-row>" for line in lines]
    body = (
        f"<table:table><table:table-header-rows>{rows[0]}</table:table-header-rows>{''.join(rows[1:])}</table:table>"
        f"<table:table><table:table-row>{cell('Framed notice.')}</table:table-row></table:table>"
    )
    assert text_of(parse(odt(body), "a.odt")) == (
        "| Station | Staff | Staff |\n| --- | --- | --- |\n| Bridge | Mott | day |\n| Bridge | Pell | night |\n"
        "| same | same | same |\n| box within |  | z |\n\nFramed notice."
    )


def test_slides_are_pages(parse: Parse) -> None:
    """Titles head their slide, notes and comments are marked, hidden slides noted, the master's text is there once."""
    frame = '<draw:frame presentation:class="{}"><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>'
    pages = [
        f'<draw:page draw:master-page-name="M" draw:style-name="{style}">{frame.format("outline", f"Point {at}")}'
        f"{frame.format('title', f'Slide {at}')}<presentation:notes>{frame.format('notes', f'Say {at}')}"
        f"{frame.format('page-number', '7')}</presentation:notes></draw:page>"
        for at, style in ((1, "dp1"), (2, "dp2"))
    ]
    master = (
        '<style:master-page style:name="M"><draw:frame><draw:text-box><text:p>Confidential</text:p></draw:text-box>'
    )
    master += f"</draw:frame>{frame.format('title', 'Click to add')}</style:master-page>"
    data = package(
        f"<office:presentation>{''.join(pages)}</office:presentation>", master, TEXT.replace(".text", ".presentation")
    )
    found = parse(data, "deck.odp")
    assert found.media_type == FORMATS["odp"].media_type
    assert [(section.page, section.heading, section.text) for section in found.sections] == [
        (1, ("Slide 1",), "Slide 1\n\nPoint 1\n\nOn every slide: Confidential\n\nSpeaker notes: Say 1"),
        (2, ("Slide 2",), "Slide 2\n\nPoint 2\n\nSpeaker notes: Say 2"),
    ]
    assert [(note.kind.value, note.place) for note in notes_of(found.notes)] == [("hidden_slides", "2")]


@pytest.mark.parametrize("mimetype", [TEXT, f"{TEXT}-template", f"{TEXT}-master", "application/vnd.sun.xml.writer"])
def test_relatives_of_the_format(parse: Parse, mimetype: str) -> None:
    """Templates, master documents and texts of OpenOffice 1 are read alike; so is all in one XML file."""
    body = "<office:text><text:p>Some words.</text:p></office:text>"
    assert text_of(parse(package(body, mimetype=mimetype), "a.bin")) == "Some words."
    flat = (
        f'<?xml version="1.0"?><office:document {NAMESPACES} office:mimetype="{TEXT}"><office:body>{body}</office:body>'
    )
    assert text_of(parse(f"{flat}</office:document>".encode(), "a.fodt")) == "Some words."


def test_a_formula(parse: Parse) -> None:
    """A file that is one equation is that equation in a line."""
    data = samples.zipped({"mimetype": TEXT.replace(".text", ".formula"), "content.xml": FORMULA})
    assert text_of(parse(data, "a.odf")) == "a/2"


def test_a_protected_file_is_refused(parse: Parse) -> None:
    """Encrypted parts, as old and as new versions of LibreOffice write them, are said to be protected."""
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry '
        'manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry></manifest:manifest>'
    )
    noise = bytes(range(256)) * 8
    old = {"mimetype": TEXT, "content.xml": noise, "META-INF/manifest.xml": manifest}
    new = {"mimetype": TEXT, "encrypted-package": noise, "META-INF/manifest.xml": manifest}
    for parts in (old, new):
        with pytest.raises(BadInputError, match="protected"):
            parse(samples.zipped(parts), "a.odt")


def test_a_file_without_content(parse: Parse) -> None:
    """A package with nothing in it is no archive to unpack: it says that there is no text."""
    with pytest.raises(BadInputError, match="no text"):
        parse(samples.zipped({"mimetype": TEXT, "content.xml": "<x/>"}), "a.odt")


def test_a_text_of_odfdo(parse: Parse) -> None:
    """What a library writes: headings, a list, a table with a merged cell, a note and a comment."""
    from odfdo import Document, Header, List, Paragraph, Table

    document = Document("text")
    document.body.clear()
    document.body.append(Header(1, "Leave"))
    paragraph = Paragraph("Three months.")
    paragraph.insert_note(after="months", note_id="n1", citation="1", body="Except in May.")
    paragraph.insert_annotation(after="Three", body="Still true?", creator="Ann")
    document.body.append(paragraph)
    document.body.append(List(["first", "second"]))
    table = Table("T", width=2, height=3)
    table.set_values([["Grade", "Days"], ["Senior", 25], ["", 26]])
    table.set_span((0, 1, 0, 2))
    document.body.append(table)
    out = io.BytesIO()
    document.save(out)
    text = text_of(parse(out.getvalue(), "a.odt"))
    assert "Leave\n\nThree months (footnote 1)." in text
    assert "Footnote 1: Except in May." in text
    assert "Comment by Ann: Still true?" in text
    assert "first\n" in text
    assert "| Senior | 25 |\n| Senior | 26 |" in text
