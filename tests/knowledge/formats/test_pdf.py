"""What PDFs hold beside plain lines: forms, comments, attachments, scanned pages, fonts without characters."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from services.core.actor import SERVICE
from services.core.errors import BadInputError
from services.knowledge.notes import notes_of
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.formats.pdf_objects import page_of, stream_of
from tests.knowledge.library_harness import LibraryHarness
from tests.knowledge.parsing.pools import run

Parse = Callable[..., ParsedFile]
LINES = ("采购合同编号为沪二零二六第七号", "交货地点在洋山港四号仓库")
PICTURE = ImageReader(Image.new("RGB", (300, 400), (120, 90, 60)))


def drawn(draw: Callable[[Canvas], Any], **options: Any) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, **options)
    draw(canvas)
    canvas.save()
    return out.getvalue()


def text_of(found: ParsedFile) -> str:
    return "\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> list[str]:
    return [note.text for note in notes_of(found.notes)]


def form(canvas: Canvas) -> None:
    """Draw a form of text, choice, check box, radio buttons and a field that says its name for people."""
    canvas.drawString(72, 760, "Mooring permit")
    canvas.drawString(72, 720, "Vessel name:")
    canvas.acroForm.textfield(name="vessel", value="Heron", x=160, y=712, width=200, height=20)
    canvas.drawString(72, 680, "Berth:")
    canvas.acroForm.choice(
        name="f1_01[0]", value="14 North", options=["14 North", "2"], x=160, y=672, width=200, height=20
    )
    canvas.acroForm.checkbox(name="insured", checked=True, x=160, y=640, size=20)
    canvas.drawString(190, 645, "Insured against sinking")
    canvas.acroForm.radio(name="fuel", value="Diesel", selected=True, x=160, y=600, size=20)
    canvas.acroForm.radio(name="fuel", value="Petrol", selected=False, x=200, y=600, size=20)
    canvas.acroForm.textfield(name="t9", tooltip="Home port", value="Saltmouth", x=160, y=560, width=200, height=20)
    canvas.acroForm.textfield(name="empty", value="", x=160, y=520, width=200, height=20)
    canvas.acroForm.textfield(name="pin", value="1234", fieldFlags="password", x=160, y=480, width=200, height=20)


def test_filled_fields_are_read_with_their_labels(parse: Parse) -> None:
    """Text, choices, check boxes and radio buttons; empty fields and passwords are left out."""
    text = text_of(parse(drawn(form), "form.pdf"))
    for line in (
        "Vessel name: Heron",
        "Berth: 14 North",
        "Insured against sinking: yes",
        "fuel: Diesel",
        "Home port: Saltmouth",
    ):
        assert line in text.splitlines(), text
    assert "Petrol" not in text
    assert "1234" not in text
    assert "empty" not in text


def test_the_value_of_a_field_is_found(harness: LibraryHarness) -> None:
    """A document's field goes through ingestion like any text."""
    document = harness.ready("form.pdf", drawn(form))
    assert "Vessel name: Heron" in harness.library.reader.chunks(SERVICE, document.id)[0].text


def test_comments_are_kept_and_marked(parse: Parse) -> None:
    """Notes, free text and the comment of a highlight are read with their author and counted; links are not."""
    data = page_of(
        "BT /F1 12 Tf 50 700 Td (The lease ends in May.) Tj ET",
        "<</Type/Annot/Subtype/Text/Rect[50 600 70 620]/T(Ann)/Contents(Ask the tenant about the deposit.)>>",
        "<</Type/Annot/Subtype/FreeText/Rect[50 500 200 520]/DA(/F1 10 Tf)/Contents(Checked twice)>>",
        "<</Type/Annot/Subtype/Highlight/Rect[50 690 90 712]/T(Bo)/Contents(Which year?)>>",
        "<</Type/Annot/Subtype/Link/Rect[50 690 90 712]/Contents(to the web)/A<</S/URI/URI(http://x)>>>>",
        "<</Type/Annot/Subtype/Highlight/Rect[50 690 90 712]/QuadPoints[50 7 90 7 50 6 90 6]>>",
        page="/Annots[6 0 R 7 0 R 8 0 R 9 0 R 10 0 R]",
    )
    found = parse(data, "lease.pdf")
    assert text_of(found).splitlines() == [
        "The lease ends in May.",
        "",
        "Note by Ann: Ask the tenant about the deposit.",
        "Note: Checked twice",
        "Note by Bo: Which year?",
    ]
    assert [(kind, count) for kind, count, _place in found.notes] == [("comments", 3)]


def test_attached_files_become_documents_of_their_own(harness: LibraryHarness) -> None:
    """What is embedded in a PDF is read like an attachment of a mail."""
    data = page_of(
        "BT /F1 12 Tf 50 700 Td (See the list that is attached.) Tj ET",
        "<</Type/Filespec/F(list.txt)/UF(list.txt)/EF<</F 7 0 R>>>>",
        stream_of("The spare key hangs behind the boiler.", "/Type/EmbeddedFile"),
        catalogue="/Names<</EmbeddedFiles<</Names[(list.txt) 6 0 R]>>>>",
    )
    harness.ready("letter.pdf", data)
    harness.idle()
    (attached,) = [document for document in harness.library.documents(SERVICE) if document.name.endswith("list.txt")]
    assert "spare key" in harness.library.reader.chunks(SERVICE, attached.id)[0].text


def test_an_xfa_form_is_noted_and_its_values_are_read(parse: Parse) -> None:
    """Forms in XFA show more than the PDF says; what was filled in is in their data."""
    values = (
        "<f xmlns='http://www.xfa.org/schema/xfa-data/1.0/'><vessel>Heron</vessel><port><name>Leith</name></port></f>"
    )
    data = page_of(
        "BT /F1 12 Tf 50 700 Td (Please wait while the form opens.) Tj ET",
        stream_of(values),
        catalogue="/AcroForm<</Fields[]/XFA[(datasets) 6 0 R]>>/NeedsRendering true",
    )
    found = parse(data, "xfa.pdf")
    assert any("XFA" in note for note in notes(found))
    assert found.sections[-1].text.splitlines() == ["vessel: Heron", "name: Leith"]


def test_chinese_written_downwards_stays_together(parse: Parse) -> None:
    """Characters below each other are one line of Chinese, not cells."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def draw(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 14)
        for column, line in enumerate(LINES):
            for row, character in enumerate(line):
                canvas.drawString(300 - 24 * column, 760 - 16 * row, character)

    text = text_of(parse(drawn(draw), "downwards.pdf"))
    assert [line for line in text.split() if len(line) > 1] == list(LINES)


def mixed(canvas: Canvas) -> None:
    """Draw text, scans with a page number and a stamp, blank pages, a rule, a drawing, a letter with a logo."""
    canvas.drawString(72, 700, "Page one has a paragraph of text about locks.")
    canvas.showPage()
    canvas.drawImage(PICTURE, 50, 50, 500, 700)
    canvas.drawString(290, 20, "2")
    canvas.showPage()
    canvas.drawImage(PICTURE, 50, 50, 500, 700)
    canvas.drawString(100, 400, "RECEIVED 12 MAR 2026")
    canvas.showPage()
    canvas.drawImage(PICTURE, 50, 50, 500, 700)
    canvas.showPage()
    canvas.showPage()
    canvas.setFillColorRGB(1, 1, 1)
    canvas.rect(0, 0, 600, 850, fill=1, stroke=0)
    canvas.showPage()
    canvas.line(50, 800, 500, 800)
    canvas.showPage()
    for number in range(100):
        canvas.line(50, 800 - 3 * number, 500, 700 - 2 * number)
    canvas.showPage()
    canvas.drawImage(PICTURE, 50, 600, 100, 100)
    canvas.drawString(72, 500, "A letter with a logo and not many words.")
    canvas.showPage()


def test_pages_that_are_pictures_are_noted_on_the_document(harness: LibraryHarness) -> None:
    """Without text recognition scans count although they carry a page number or a stamp; blank pages do not."""
    object.__setattr__(harness.settings, "ocr", False)
    document = harness.ready("mixed.pdf", drawn(mixed))
    assert [note.text for note in document.notes] == ["Pages 2-4, 8 are pictures without text"]
    text = "\n".join(chunk.text for chunk in harness.library.reader.chunks(SERVICE, document.id))
    assert "RECEIVED 12 MAR 2026" in text
    assert "letter with a logo" in text


def test_scans_with_page_numbers_alone_are_refused(pool_without_ocr: ParserPool, tmp_path: Path) -> None:
    """Without text recognition a document whose only text are its page numbers says nothing."""

    def draw(canvas: Canvas) -> None:
        for number in range(3):
            canvas.drawImage(PICTURE, 50, 50, 500, 700)
            canvas.drawString(290, 20, f"Page {number + 1}")
            canvas.showPage()

    path = tmp_path / "upload"
    path.write_bytes(drawn(draw))
    with pytest.raises(BadInputError, match="pictures"):
        run(pool_without_ocr, path, "scan.pdf")


def test_blank_pages_alone_are_refused_as_blank(parse: Parse) -> None:
    """No one is sent to text recognition for an empty document."""
    with pytest.raises(BadInputError, match="blank"):
        parse(drawn(lambda canvas: canvas.showPage()), "blank.pdf")


def test_an_invisible_text_layer_is_text(parse: Parse) -> None:
    """What a scanner's text recognition laid over the picture is read; the page is no picture then."""

    def draw(canvas: Canvas) -> None:
        canvas.drawImage(PICTURE, 50, 50, 500, 700)
        layer = canvas.beginText(72, 700)
        layer.setTextRenderMode(3)
        layer.textLine("The hidden layer says that the sluice opens at nine o'clock on each day of the week.")
        canvas.drawText(layer)

    found = parse(drawn(draw), "ocr.pdf")
    assert "sluice opens at nine" in text_of(found)
    assert notes(found) == []


WITHOUT_FONTS = """
import ctypes, sys
import pypdfium2.raw as pdfium
folder = ctypes.create_string_buffer(sys.argv[2].encode())
folders = (ctypes.POINTER(ctypes.c_char) * 2)(ctypes.cast(folder, ctypes.POINTER(ctypes.c_char)), None)
config = pdfium.FPDF_LIBRARY_CONFIG(version=2)
config.m_pUserFontPaths = ctypes.cast(folders, type(config.m_pUserFontPaths))
pdfium.FPDF_DestroyLibrary()
pdfium.FPDF_InitLibraryWithConfig(config)
from services.knowledge.formats.pdf import pdf
from services.knowledge.formats.reading import Reading
with open(sys.argv[1], "rb") as stream:
    for section in pdf.read(stream, Reading("a.pdf", 100, lambda done, total: None)):
        print(ascii(section.text))
"""


def test_chinese_placed_character_by_character_needs_no_fonts(tmp_path: Path) -> None:
    """Without an embedded font and without any on the machine, each character is read, in order, line by line."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))

    def draw(canvas: Canvas) -> None:
        canvas.setFont("STSong-Light", 14)
        for row, line in enumerate(LINES):
            for column, character in enumerate(line):
                canvas.drawString(72 + 15 * column, 760 - 24 * row, character)

    path = tmp_path / "contract.pdf"
    path.write_bytes(drawn(draw))
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FONTS, str(path), str(fonts)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == ascii("\n".join(LINES)), done.stderr


def test_characters_without_a_meaning_are_left_out_and_noted(pool_without_ocr: ParserPool, tmp_path: Path) -> None:
    """Without text recognition a font without a map to Unicode gives no garbage; what others say is kept."""
    codes = "".join(f"{36 + number * 7 % 55:04x}" for number in range(120))
    path = tmp_path / "upload"
    path.write_bytes(
        page_of(
            f"BT /F1 12 Tf 50 750 Td (A line of readable words.) Tj ET BT /F2 12 Tf 50 700 Td <{codes}> Tj ET",
            "<</Type/Font/Subtype/Type0/BaseFont/Foo/Encoding/Identity-H/DescendantFonts[7 0 R]>>",
            "<</Type/Font/Subtype/CIDFontType2/BaseFont/Foo/DW 600/CIDSystemInfo<</Registry(Adobe)"
            "/Ordering(Identity)/Supplement 0>>/FontDescriptor 8 0 R>>",
            "<</Type/FontDescriptor/FontName/Foo/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 800/Descent -200"
            "/CapHeight 700/StemV 80>>",
            resources="/F2 6 0 R",
        )
    )
    found = run(pool_without_ocr, path, "fonts.pdf")
    assert text_of(found) == "A line of readable words."
    assert [(kind, place) for kind, _count, place in found.notes] == [("unmapped_characters", "1")]


def test_text_that_the_page_does_not_show_is_left_out(parse: Parse) -> None:
    """Viewers cut the page to its crop box, and so does the reader."""

    def draw(canvas: Canvas) -> None:
        canvas.setCropBox((0, 0, 300, 842))
        canvas.drawString(72, 700, "Inside the crop box.")
        canvas.drawString(400, 700, "Outside of it.")
        canvas.drawString(72, 680, "Second line inside.")

    assert text_of(parse(drawn(draw), "crop.pdf")) == "Inside the crop box.\nSecond line inside."


def test_text_in_form_objects_and_turned_text_is_read(parse: Parse) -> None:
    """Watermarks, side notes and reused parts of pages are text, too."""

    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 700, "Ordinary text of the page stands here.")
        canvas.beginForm("stamp")
        canvas.drawString(72, 650, "Reused words.")
        canvas.endForm()
        canvas.doForm("stamp")
        canvas.rotate(45)
        canvas.drawString(500, 0, "DRAFT")

    text = text_of(parse(drawn(draw), "parts.pdf"))
    assert "Ordinary text of the page stands here." in text
    assert "Reused words." in text
    assert "DRAFT" in text


def test_a_file_locked_by_its_owner_alone_is_read(parse: Parse) -> None:
    """A document that anyone may open without a password is no protected one."""
    encryption = StandardEncryption("", ownerPassword="secret", canCopy=0)
    data = drawn(lambda canvas: canvas.drawString(72, 700, "Anyone may read this."), encrypt=encryption)
    assert text_of(parse(data, "owner.pdf")) == "Anyone may read this."


def test_a_damaged_cross_reference_is_repaired(parse: Parse) -> None:
    """Objects are found by looking for them."""
    data = page_of("BT /F1 12 Tf 50 700 Td (The table of objects is wrong.) Tj ET").replace(b"0000000", b"0000001")
    assert text_of(parse(data, "xref.pdf")) == "The table of objects is wrong."


def test_bookmarks_are_headings(parse: Parse) -> None:
    """A page is parted where the title of a bookmark stands; pages without one go on under the last."""

    def draw(canvas: Canvas) -> None:
        canvas.drawString(72, 760, "Words before any chapter.")
        canvas.bookmarkPage("one")
        canvas.addOutlineEntry("Engine", "one", 0)
        canvas.drawString(72, 700, "1 Engine")
        canvas.drawString(72, 680, "The engine has four cylinders.")
        canvas.bookmarkPage("cooling")
        canvas.addOutlineEntry("Cooling", "cooling", 1)
        canvas.drawString(72, 640, "1.1 Cooling")
        canvas.drawString(72, 620, "Water is pumped through the block.")
        canvas.showPage()
        canvas.drawString(72, 700, "The pump needs no oil.")
        canvas.showPage()
        canvas.bookmarkPage("two")
        canvas.addOutlineEntry("Hull", "two", 0)
        canvas.drawString(72, 700, "A page about the hull without its title.")

    found = parse(drawn(draw), "manual.pdf")
    assert [(section.page, section.heading, section.text.splitlines()[-1]) for section in found.sections] == [
        (1, (), "Words before any chapter."),
        (1, ("Engine",), "The engine has four cylinders."),
        (1, ("Engine", "Cooling"), "Water is pumped through the block."),
        (2, ("Engine", "Cooling"), "The pump needs no oil."),
        (3, ("Hull",), "A page about the hull without its title."),
    ]


def test_headers_and_footers_are_kept_on_the_first_pages_alone(parse: Parse) -> None:
    """A customer number in the header is found; it does not stand in every chunk of a long document."""

    def draw(canvas: Canvas) -> None:
        for number in range(1, 9):
            canvas.drawString(72, 810, "Northwind Ltd, customer 48812")
            canvas.drawString(72, 700, "Northwind Ltd, customer 48812, ordered again.")
            canvas.drawString(72, 680, f"Paragraph {number} of the letter.")
            canvas.drawString(290, 30, f"Page {number} of 8")
            canvas.showPage()

    pages = [section.text.splitlines() for section in parse(drawn(draw), "letter.pdf").sections]
    assert pages[0][0] == "Northwind Ltd, customer 48812"
    assert pages[0][-1] == "Page 1 of 8"
    for number, lines in enumerate(pages[2:], 3):
        assert lines == ["Northwind Ltd, customer 48812, ordered again.", f"Paragraph {number} of the letter."]
