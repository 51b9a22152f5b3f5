from __future__ import annotations

import io

import pytest

from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.formats.word_files import NAMESPACES, document, field, p, run
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse


def text_of(found: ParsedFile) -> str:
    return "\n\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> dict[str, int]:
    return {note.kind.value: note.count for note in notes_of(found.notes)}


def box(text: str) -> str:
    return (
        "<w:drawing><wp:inline><a:graphic><a:graphicData><wps:wsp><wps:txbx><w:txbxContent>"
        f"{p(text)}</w:txbxContent></wps:txbx></wps:wsp></a:graphicData></a:graphic></wp:inline></w:drawing>"
    )


def old_box(text: str) -> str:
    return f"<w:pict><v:shape><v:textbox><w:txbxContent>{p(text)}</w:txbxContent></v:textbox></v:shape></w:pict>"


def choice(new: str, old: str = "") -> str:
    fallback = f"<mc:Fallback>{old}</mc:Fallback>" if old else ""
    return f'<mc:AlternateContent><mc:Choice Requires="wps">{new}</mc:Choice>{fallback}</mc:AlternateContent>'


RAISED = '<w:vertAlign w:val="superscript"/>'
GROUP = (
    "<w:drawing><wp:anchor><a:graphic><a:graphicData><wpg:wgp><wpg:grpSp>"
    + "".join(
        f"<wps:wsp><wps:txbx><w:txbxContent>{p(text)}</w:txbxContent></wps:txbx></wps:wsp>"
        for text in ("BOX", "Inner two")
    )
    + "</wpg:grpSp></wpg:wgp></a:graphicData></a:graphic></wp:anchor></w:drawing>"
)


@pytest.mark.parametrize(
    "drawn",
    [
        choice(box("BOX")),
        choice(box("BOX"), old_box("BOX")),
        choice("<w:drawing><wp:inline/></w:drawing>", old_box("BOX")),
        box("BOX"),
        old_box("BOX"),
        choice(GROUP, old_box("BOX")),
        f"<w:pict><v:group>{old_box('BOX').removeprefix('<w:pict>').removesuffix('</w:pict>')}</v:group></w:pict>",
        choice(box(f"<w:r>{choice(box('BOX'), old_box('BOX'))}</w:r>")),
    ],
    ids=["new", "both", "only the old has text", "no alternative", "old", "group", "old group", "box in a box"],
)
@pytest.mark.parametrize("strict", [False, True])
def test_text_boxes_are_read_once_where_they_stand(parse: Parse, drawn: str, strict: bool) -> None:
    """A text box of any age, alone, in a group or with a version for old programs is there once, in its place."""
    body = p("Plan of irrigation.") + f"<w:p><w:r>{drawn}</w:r></w:p>" + p("End of plan.")
    text = text_of(parse(document(body, strict=strict), "a.docx"))
    assert [text.count(part) for part in ("Plan of irrigation.", "BOX", "End of plan.")] == [1, 1, 1]
    assert text.index("Plan") < text.index("BOX") < text.index("End")


def test_headers_and_footers_are_kept_once(parse: Parse) -> None:
    """A letterhead with a customer number is there, marked, once for all sections; numbers of pages are not."""
    page = f"Page {field('PAGE', '3')} of {field('NUMPAGES', '9')}".replace("Page ", run("Page ")).replace(
        " of ", run(" of ")
    )
    letterhead = p("Quillfeather Ltd, customer number QF-88213")
    found = parse(
        document(
            p("Thank you for twelve pallets."),
            {
                "header1.xml": ("header", letterhead),
                "header4.xml": ("header", rows(cell("Logo") + cell("Tel. 12"), cell("Line") + cell("two"))),
                "header2.xml": ("header", letterhead + p(f"<w:r>{box('Boxed line')}</w:r>")),
                "header3.xml": ("header", p("Only on the first page")),
                "footer1.xml": ("footer", p(page) + p("IBAN XX12 3456 7890")),
                "footer2.xml": ("footer", p(f"{run('Draft 7')}<w:r><w:tab/></w:r>{page}")),
            },
        ),
        "letter.docx",
    )
    assert text_of(found) == (
        "Header: Quillfeather Ltd, customer number QF-88213\nLogo | Tel. 12\nLine | two\n"
        "Boxed line\nOnly on the first page\n\n"
        "Thank you for twelve pallets.\n\nFooter: IBAN XX12 3456 7890\nDraft 7"
    )


def test_comments_and_notes_follow_their_paragraph(parse: Parse) -> None:
    """Comments have their author, footnotes and endnotes their number; a comment whose place is gone is kept."""
    found = parse(
        document(
            p(f'{run("Notice is three months.")}<w:r><w:footnoteReference w:id="2"/></w:r>')
            + p(
                f'{run("Fee is 12 euros.")}<w:r><w:commentReference w:id="0"/></w:r>'
                f'<w:r><w:endnoteReference w:id="5"/></w:r>'
            )
            + p("The end."),
            {
                "footnotes.xml": (
                    "footnotes",
                    (
                        f'<w:footnote w:type="separator" w:id="0">{p("----")}</w:footnote>'
                        f'<w:footnote w:id="2">{p("Except in May.")}</w:footnote>'
                    ),
                ),
                "endnotes.xml": ("endnotes", f'<w:endnote w:id="5">{p("See the price list.")}</w:endnote>'),
                "comments.xml": (
                    "comments",
                    (
                        f'<w:comment w:id="0" w:author="Ann Lee">{p("Still true?")}</w:comment>'
                        f'<w:comment w:id="1" w:author="Bo">{p("Lost place.")}</w:comment>'
                    ),
                ),
            },
        ),
        "a.docx",
    )
    assert text_of(found).split("\n\n") == [
        "Notice is three months. (footnote 1)",
        "Footnote 1: Except in May.",
        "Fee is 12 euros. (footnote 2)",
        "Comment by Ann Lee: Still true?",
        "Footnote 2: See the price list.",
        "The end.",
        "Comment by Bo: Lost place.",
    ]
    assert notes(found) == {"comments": 2}


def test_tracked_changes_read_as_accepted(parse: Parse) -> None:
    """Insertions are text, deletions a note; moved text stands where it was moved to, once."""
    body = p(
        f"{run('Pay within ')}<w:del><w:r><w:delText>14</w:delText></w:r></w:del>"
        f"<w:ins>{run('30')}</w:ins>{run(' days. ')}"
        f"<w:moveFrom>{run('Moved.')}</w:moveFrom><w:moveTo>{run('Moved.')}</w:moveTo>"
    ) + (
        "<w:tbl><w:tr><w:tc>" + p("kept") + "</w:tc><w:tc>" + p("row") + "</w:tc></w:tr>"
        "<w:tr><w:trPr><w:del/></w:trPr><w:tc>" + p("gone") + "</w:tc><w:tc/></w:tr></w:tbl>"
    )
    found = parse(document(body), "a.docx")
    assert text_of(found) == "Pay within 30 days. Moved.\n\n| kept | row |"
    assert notes(found) == {"deleted_text": 2}


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{p(text) if text else '<w:p/>'}</w:tc>"


DOWN = '<w:vMerge w:val="restart"/>'
ON = "<w:vMerge/>"


def rows(*lines: str) -> str:
    return "<w:tbl>" + "".join(f"<w:tr>{line}</w:tr>" for line in lines) + "</w:tbl>"


def test_merged_cells_fill_what_they_cover(parse: Parse) -> None:
    """Down, across, both at once, with a gap at a row's start, within content controls, and in the old way."""
    body = (
        rows(
            cell("Station") + cell("Officer") + cell("Shift"),
            cell("Bridge", DOWN) + cell("Mott") + cell("day"),
            cell("", ON) + cell("Pell") + cell("night"),
            cell("Engine", DOWN) + cell("both", '<w:gridSpan w:val="2"/>'),
            f"<w:sdt><w:sdtContent>{cell('', ON)}</w:sdtContent></w:sdt>" + cell("Voss") + cell("late"),
        )
        + p("Between.")
        + rows(
            cell("A") + cell("B") + cell("C"),
            cell("Block", f'<w:gridSpan w:val="2"/>{DOWN}') + cell("one"),
            cell("", f'<w:gridSpan w:val="2"/>{ON}') + cell("two"),
            '<w:trPr><w:gridBefore w:val="1"/></w:trPr>' + cell("shifted") + cell("three"),
            cell("old", '<w:hMerge w:val="restart"/>') + cell("", "<w:hMerge/>") + cell("four"),
        )
    )
    assert text_of(parse(document(body), "a.docx")).split("\n\n") == [
        (
            "| Station | Officer | Shift |\n| --- | --- | --- |\n| Bridge | Mott | day |\n| Bridge | Pell | night |\n"
            "| Engine | both | both |\n| Engine | Voss | late |"
        ),
        "Between.",
        (
            "| A | B | C |\n| --- | --- | --- |\n| Block | Block | one |\n| Block | Block | two |\n"
            "|  | shifted | three |\n| old | old | four |"
        ),
    ]


def test_tables_within_tables_and_for_layout(parse: Parse) -> None:
    """A table in a cell is read in its cell; a frame around text is no table; several header rows become one."""
    head = "<w:trPr><w:tblHeader/></w:trPr>"
    body = (
        rows(
            cell("Part") + cell("Data"),
            cell("Pump") + f"<w:tc>{rows(cell('Bar') + cell('4'), cell('rpm') + cell('90'))}<w:p/></w:tc>",
        )
        + rows(cell("Framed notice."))
        + rows(
            head + cell("City", DOWN) + cell("2025", '<w:gridSpan w:val="2"/>'),
            head + cell("", ON) + cell("May") + cell("June"),
            cell("Rome") + cell("1") + cell("2"),
        )
    )
    assert text_of(parse(document(body), "a.docx")).split("\n\n") == [
        "| Part | Data |\n| --- | --- |\n| Pump | Bar: 4; rpm: 90 |",
        "Framed notice.",
        "| City | 2025 May | 2025 June |\n| --- | --- | --- |\n| Rome | 1 | 2 |",
    ]


def test_headings_and_lists_have_their_numbers(parse: Parse) -> None:
    """Numbers that Word computes are text: of headings by their style, of lists by level, restarts included."""
    levels = (
        '<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/>'
        '<w:pStyle w:val="Heading1"/><w:lvlText w:val="%1"/></w:lvl><w:lvl w:ilvl="1"><w:start w:val="1"/>'
        '<w:numFmt w:val="decimal"/><w:pStyle w:val="Heading2"/><w:lvlText w:val="%1.%2"/></w:lvl></w:abstractNum>'
        '<w:abstractNum w:abstractNumId="2"><w:lvl w:ilvl="0"><w:start w:val="0"/><w:numFmt w:val="upperRoman"/>'
        '<w:lvlText w:val="%1."/></w:lvl><w:lvl w:ilvl="1"><w:start w:val="3"/><w:numFmt w:val="lowerLetter"/>'
        '<w:lvlText w:val="%2)"/></w:lvl></w:abstractNum>'
        '<w:abstractNum w:abstractNumId="3"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val=""/></w:lvl>'
        "</w:abstractNum>"
        '<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="2"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="3"/></w:num><w:num w:numId="4"><w:abstractNumId w:val="2"/>'
        '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>'
    )
    number = '<w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr>'
    styles = (
        f"<w:styles {NAMESPACES}>"
        f'<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/>{number}</w:style>'
        f'<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/>{number}</w:style>'
        '<w:style w:type="paragraph" w:styleId="Mine"><w:name w:val="My own"/><w:basedOn w:val="Heading2"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="T"><w:name w:val="Title"/></w:style></w:styles>'
    )

    def styled(text: str, style: str) -> str:
        return p(text, f'<w:pStyle w:val="{style}"/>')

    def item(text: str, of: int, level: int = 0) -> str:
        return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{of}"/></w:numPr>')

    body = (
        styled("Handbook", "T") + styled("Leave", "Heading1") + styled("Days", "Heading2") + styled("Sick", "Mine")
        + item("zero", 2) + item("one", 2) + item("deeper", 2, 1) + item("two", 2) + item("dot", 3) + item("again", 4)
        + styled("Travel", "Heading1") + styled("Trains", "Heading2")
        + p("not numbered", '<w:pStyle w:val="Heading2"/><w:numPr><w:numId w:val="0"/></w:numPr>')
    )  # fmt: skip
    found = parse(document(body, {"styles.xml": ("styles", styles), "numbering.xml": ("numbering", levels)}), "a.docx")
    assert [section.heading for section in found.sections] == [
        ("Handbook",),
        ("Handbook", "1 Leave"),
        ("Handbook", "1 Leave", "1.1 Days"),
        ("Handbook", "1 Leave", "1.2 Sick"),
        ("Handbook", "2 Travel"),
        ("Handbook", "2 Travel", "2.1 Trains"),
        ("Handbook", "2 Travel", "not numbered"),
    ]
    assert found.sections[3].text == "1.2 Sick\n\n0. zero\nI. one\n  c) deeper\nII. two\n- dot\nVII. again"


def test_what_else_a_paragraph_holds(parse: Parse) -> None:
    """Fields, controls, symbols, raised digits, addresses, ruby, hidden text and equations, as readers see them."""
    m = "<m:oMath><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f></m:oMath>"
    lines = [
        f"{run('Dear ')}{field('MERGEFIELD Name', 'Ms Ada')}{run(', see ')}{field('REF x', 'table 4')}",
        (
            f"<w:fldSimple w:instr='DATE'>{run('3 May')}</w:fldSimple>"
            f"<w:sdt><w:sdtContent>{run(' Berlin')}</w:sdtContent></w:sdt>"
            f"<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>{run('Click here')}</w:sdtContent></w:sdt>"
        ),
        (
            f"{run('10')}{run('6', RAISED)}{run(' m')}"
            '<w:r><w:sym w:font="Wingdings" w:char="F0FE"/><w:sym w:font="Symbol" w:char="F061"/></w:r>'
        ),
        f"<w:hyperlink r:id='mail'>{run('write to us')}</w:hyperlink>",
        f"<w:r><w:ruby><w:rt>{run('kan')}</w:rt><w:rubyBase>{run('漢')}</w:rubyBase></w:ruby></w:r>{run('字')}",
        f"{run('seen')}{run(' unseen', '<w:vanish/>')}<w:r><w:noBreakHyphen/><w:t>on</w:t><w:br/><w:t>next</w:t></w:r>",
        f"{run('So ')}{m}{run(' holds.')}",
        (
            '<w:r><w:fldChar w:fldCharType="begin"><w:ffData>'
            "<w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r>"
            f"<w:r><w:instrText>FORMCHECKBOX</w:instrText></w:r>"
            f"<w:r><w:fldChar w:fldCharType='end'/></w:r>{run(' Agreed')}"
        ),
    ]
    data = document("".join(map(p, lines)))
    with_link = samples.zipped(
        {
            name: content.replace(
                b"</Relationships>",
                b'<Relationship Id="mail" Type="x/hyperlink" '
                b'Target="mailto:a@b.example?subject=x" TargetMode="External"/>'
                b"</Relationships>",
            )
            if name == "word/_rels/document.xml.rels"
            else content
            for name, content in members(data).items()
        }
    )
    found = parse(with_link, "a.docx")
    assert text_of(found).split("\n\n") == [
        "Dear Ms Ada, see table 4",
        "3 May Berlin",
        "10⁶ m☑α",
        "write to us (a@b.example)",
        "漢字",
        "seen-on\nnext",
        "So (a+b)/2 holds.",
        "☒ Agreed",
    ]
    assert notes(found) == {"reading_aids": 1, "hidden_text": 1, "equations": 1}


def members(data: bytes) -> dict[str, bytes]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_charts_diagrams_and_pictures(parse: Parse) -> None:
    """A chart is its title and values, a diagram its texts, a picture what its author wrote about it, and a note."""

    def graphic(kind: str, inner: str) -> str:
        return (
            f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="x" descr="Plan of the yard"/><a:graphic>'
            f'<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/{kind}">{inner}</a:graphicData>'
            "</a:graphic></wp:inline></w:drawing></w:r>"
        )

    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{at}"><c:v>{value}</c:v></c:pt>' for at, value in enumerate(values))

    chart = (
        f"<c:chartSpace {NAMESPACES}><c:chart><c:title><c:tx><c:rich>"
        f"<a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:rich></c:tx>"
        f"</c:title><c:plotArea><c:barChart><c:ser><c:tx><c:strRef><c:strCache>{points('2025')}</c:strCache></c:strRef></c:tx>"
        f"<c:cat><c:strRef><c:strCache>{points('May', 'June')}</c:strCache></c:strRef></c:cat>"
        f"<c:val><c:numRef><c:numCache>{points('7', '9')}</c:numCache></c:numRef>"
        f"</c:val></c:ser></c:barChart></c:plotArea>"
        "</c:chart></c:chartSpace>"
    )
    diagram = (
        f"<dgm:dataModel {NAMESPACES}><dgm:ptLst><dgm:pt><dgm:t><a:p><a:r><a:t>Plan</a:t></a:r></a:p></dgm:t></dgm:pt>"
        "<dgm:pt><dgm:t><a:p><a:r><a:t>Build</a:t></a:r></a:p></dgm:t></dgm:pt></dgm:ptLst></dgm:dataModel>"
    )
    picture = '<pic:pic><pic:blipFill><a:blip r:embed="missing"/></pic:blipFill></pic:pic>'
    found = parse(
        document(
            p(graphic("chart", '<c:chart r:id="chart1"/>'))
            + p(graphic("diagram", '<dgm:relIds r:dm="data1" r:lo="x"/>'))
            + p(graphic("picture", picture) + graphic("picture", picture))
            + p("<w:r><w:object><o:OLEObject/></w:object></w:r>")
            + '<w:altChunk r:id="none"/>',
            {"chart1.xml": ("chart", chart), "data1.xml": ("diagramData", diagram)},
        ),
        "a.docx",
    )
    assert text_of(found).split("\n\n") == [
        "Sales",
        "|  | 2025 |\n| --- | --- |\n| May | 7 |\n| June | 9 |",
        "- Plan\n- Build",
        "Plan of the yard",
    ]
    assert notes(found) == {"pictures": 1, "embedded_files": 2}


def test_documents_in_one_xml_file(parse: Parse) -> None:
    """Flat OPC holds the same parts without a zip file; Word 2003 wrote a format of its own."""
    parts = "".join(
        f'<pkg:part pkg:name="/{name}">'
        f"<pkg:xmlData>{content.decode().partition('?>')[2] or content.decode()}</pkg:xmlData></pkg:part>"
        for name, content in members(document(p("Flat text."), {"header1.xml": ("header", p("Letterhead"))})).items()
    )
    flat = f'<?xml version="1.0"?><pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">{parts}</pkg:package>'
    assert text_of(parse(flat.encode(), "flat.xml")) == "Header: Letterhead\n\nFlat text."
    old = (
        '<?xml version="1.0"?><w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml" '
        'xmlns:wx="http://schemas.microsoft.com/office/word/2003/auxHint"><w:body><wx:sect><wx:sub-section>'
        f"{p('Old text.')}</wx:sub-section>"
        f"<w:sectPr><w:hdr>{p('Letterhead')}</w:hdr></w:sectPr></wx:sect></w:body></w:wordDocument>"
    )
    assert text_of(parse(old.encode(), "old.xml")) == "Header: Letterhead\n\nOld text."


@pytest.mark.parametrize("name", ["page1.html", "page1.mht"])
def test_pages_that_a_document_takes_in(parse: Parse, name: str) -> None:
    """Programs that turn HTML into Word documents put the page in as it is: its text is the document's."""
    page = "<html><head><meta charset='utf-8'></head><body><h1>Maße</h1><p>Four metres.</p></body></html>"
    head = "MIME-Version: 1.0\nContent-Type: multipart/related; boundary=B\n\n--B\n"
    archive = f"{head}Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{page}\n--B--\n"
    parts = members(document('<w:altChunk r:id="page1"/>' + p("After."), {name: ("aFChunk", "")}))
    parts[f"word/{name}"] = (page if name.endswith("html") else archive).encode()
    assert text_of(parse(samples.zipped({**parts}), "a.docx")) == "Maße\n\nFour metres.\n\nAfter."


def test_damaged_parts_beside_the_text_are_noted(parse: Parse) -> None:
    """A header that cannot be read costs the header, with a note; a field without an end hides nothing."""
    found = parse(
        document(
            p('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>')
            + p("All is here."),
            {"header1.xml": ("header", "<w:p><broken>")},
        ),
        "a.docx",
    )
    assert text_of(found) == "All is here."
    assert notes(found) == {"damaged_parts": 1}


def test_a_document_of_python_docx(parse: Parse) -> None:
    """What a widely used library writes: headings, lists, a table, a header and a comment."""
    import docx

    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Leave", 1)
    noted = document.add_paragraph("Twenty-five days.")
    document.add_comment(noted.runs, "Really?", author="Ann")
    document.add_paragraph("Ask early", style="List Bullet")
    document.add_paragraph("Fill in the form", style="List Number")
    table = document.add_table(2, 2)
    for at, text in enumerate(("Grade", "Days", "Senior", "25")):
        table.cell(at // 2, at % 2).text = text
    document.sections[0].header.paragraphs[0].text = "Mill QF-1"
    out = io.BytesIO()
    document.save(out)
    found = parse(out.getvalue(), "a.docx")
    assert text_of(found) == (
        "Header: Mill QF-1\n\nHandbook\n\nLeave\n\nTwenty-five days.\n\nComment by Ann: Really?\n\n"
        "- Ask early\n1. Fill in the form\n\n| Grade | Days |\n| --- | --- |\n| Senior | 25 |"
    )
    assert found.sections[-1].heading == ("Handbook", "Leave")
