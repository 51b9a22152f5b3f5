"""Files written by Python libraries. Each function returns the file's bytes; the versions come from the packages."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from tests.document_set.content import Content
from tests.document_set.markup import html, markdown


def python_docx(content: Content) -> bytes:
    import docx

    document = docx.Document()
    section = document.sections[0]
    section.header.paragraphs[0].text = content.text("header")
    section.footer.paragraphs[0].text = content.text("footer")
    document.add_heading(content.text("title"), 0)
    document.add_heading(content.text("heading"), 1)
    paragraph = document.add_paragraph(content.text("paragraph"))
    document.add_comment(paragraph.runs, text=content.text("comment"), author="Ann", initials="A")
    document.add_paragraph().add_run(content.text("bold")).bold = True
    document.add_paragraph(content.text("umlauts"))
    document.add_paragraph(content.text("chinese"))
    document.add_heading(content.text("subheading"), 2)
    for part in ("bullet_1", "bullet_2", "bullet_3"):
        document.add_paragraph(content.text(part), style="List Bullet")
    for part in ("step_1", "step_2"):
        document.add_paragraph(content.text(part), style="List Number")
    document.add_paragraph(content.text("quote"), style="Intense Quote")
    document.add_paragraph(content.text("code"))
    rows = content.table()
    table = document.add_table(len(rows), len(rows[0]))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            table.cell(row, column).text = cell
    return _saved(document.save)


def python_pptx(content: Content) -> bytes:
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = content.text("title")
    slide.placeholders[1].text = "\n".join(
        content.text(part) for part in ("bullet_1", "bullet_2", "umlauts", "chinese")
    )
    slide.notes_slide.notes_text_frame.text = content.text("notes")
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = content.text("heading")
    rows = content.table()
    frame = slide.shapes.add_table(len(rows), len(rows[0]), Inches(1), Inches(2), Inches(6), Inches(2))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            frame.table.cell(row, column).text = cell
    box = slide.shapes.add_textbox(Inches(1), Inches(5), Inches(4), Inches(1))
    box.text_frame.text = content.text("textbox")
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(5), Inches(5), Inches(3), Inches(1)).text_frame.text = content.text("quote")
    return _saved(deck.save)


def odfpy_text(content: Content) -> bytes:
    from odf import office, table, text
    from odf.opendocument import OpenDocumentText

    document = OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=1, text=content.text("title")))
    document.text.addElement(text.H(outlinelevel=2, text=content.text("heading")))
    paragraph = text.P(text=content.text("paragraph"))
    note = text.Note(noteclass="footnote")
    note.addElement(text.NoteCitation(text="1"))
    body = text.NoteBody()
    body.addElement(text.P(text=content.text("footnote")))
    note.addElement(body)
    paragraph.addElement(note)
    remark = office.Annotation()
    remark.addElement(text.P(text=content.text("comment")))
    paragraph.addElement(remark)
    document.text.addElement(paragraph)
    bullets = text.List()
    for part in ("bullet_1", "bullet_2", "bullet_3"):
        item = text.ListItem()
        item.addElement(text.P(text=content.text(part)))
        bullets.addElement(item)
    document.text.addElement(bullets)
    for part in ("umlauts", "chinese", "quote", "code"):
        document.text.addElement(text.P(text=content.text(part)))
    grid = table.Table(name="Parts")
    for cells in content.table():
        row = table.TableRow()
        for cell in cells:
            box = table.TableCell()
            box.addElement(text.P(text=cell))
            row.addElement(box)
        grid.addElement(row)
    document.text.addElement(grid)
    return _saved(document.save)


def odfpy_slides(content: Content) -> bytes:
    from odf import draw, style, text
    from odf.opendocument import OpenDocumentPresentation

    deck = OpenDocumentPresentation()
    layout = style.PageLayout(name="L")
    deck.automaticstyles.addElement(layout)
    master = style.MasterPage(name="M", pagelayoutname=layout)
    deck.masterstyles.addElement(master)
    for number, parts in enumerate((("title", "bullet_1", "bullet_2"), ("heading", "umlauts", "chinese")), start=1):
        page = draw.Page(name=f"Slide {number}", masterpagename=master)
        for at, part in enumerate(parts):
            frame = draw.Frame(width="20cm", height="2cm", x="2cm", y=f"{2 + 3 * at}cm")
            box = draw.TextBox()
            box.addElement(text.P(text=content.text(part)))
            frame.addElement(box)
            page.addElement(frame)
        deck.presentation.addElement(page)
    return _saved(deck.save)


def odfpy_sheet(content: Content) -> bytes:
    from odf import table, text
    from odf.opendocument import OpenDocumentSpreadsheet

    book = OpenDocumentSpreadsheet()
    sheet = table.Table(name=content.word("title"))
    for cells in content.table():
        row = table.TableRow()
        for cell in cells:
            box = table.TableCell(valuetype="string")
            box.addElement(text.P(text=cell))
            row.addElement(box)
        sheet.addElement(row)
    book.spreadsheet.addElement(sheet)
    return _saved(book.save)


def odfdo_text(content: Content) -> bytes:
    from odfdo import Document, Header, List, ListItem, Paragraph, Table

    document = Document("text")
    document.body.clear()
    document.body.append(Header(1, content.text("title")))
    document.body.append(Header(2, content.text("heading")))
    for part in ("paragraph", "bold", "umlauts", "chinese", "quote"):
        document.body.append(Paragraph(content.text(part)))
    items = List()
    for part in ("bullet_1", "bullet_2"):
        items.append(ListItem(content.text(part)))
    document.body.append(items)
    table = Table("Parts")
    table.set_values(content.table())
    document.body.append(table)
    return _saved(document.save)


def odfdo_sheet(content: Content) -> bytes:
    from odfdo import Document, Table

    document = Document("spreadsheet")
    document.body.clear()
    table = Table(content.word("title"))
    table.set_values(content.table())
    document.body.append(table)
    return _saved(document.save)


def odfdo_slides(content: Content) -> bytes:
    from odfdo import Document, DrawPage, Frame

    document = Document("presentation")
    document.body.clear()
    for number, parts in enumerate((("title", "bullet_1"), ("heading", "chinese", "umlauts")), start=1):
        page = DrawPage(f"page{number}", name=f"Page {number}")
        for at, part in enumerate(parts):
            page.append(Frame.text_frame(content.text(part), size=("20cm", "3cm"), position=("2cm", f"{2 + 4 * at}cm")))
        document.body.append(page)
    return _saved(document.save)


def openpyxl_book(content: Content) -> bytes:
    import openpyxl
    from openpyxl.comments import Comment

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = content.word("title")
    for cells in content.table():
        sheet.append(cells)
    sheet["A2"].comment = Comment(content.text("comment"), "Ann")
    other = book.create_sheet("Second")
    other.append([content.text("umlauts"), content.text("chinese")])
    other.append([content.text("bullet_1"), content.text("bullet_2")])
    return _saved(book.save)


def xlsxwriter_book(content: Content) -> bytes:
    import xlsxwriter

    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    sheet = book.add_worksheet(content.word("title"))
    for row, cells in enumerate(content.table()):
        sheet.write_row(row, 0, cells)
    sheet.write_comment("B2", content.text("comment"))
    sheet.write_rich_string("A6", book.add_format({"bold": True}), content.text("bold"), " - ", content.text("code"))
    sheet.merge_range("A8:C8", content.text("chinese"))
    sheet.insert_textbox("E2", content.text("textbox"))
    book.close()
    return target.getvalue()


def pyexcelerate_book(content: Content) -> bytes:
    from pyexcelerate import Workbook

    book = Workbook()
    book.new_sheet(content.word("title"), data=[*content.table(), [content.text("umlauts"), content.text("chinese")]])
    target = io.BytesIO()
    book._save(target)
    return target.getvalue()


def xlwt_book(content: Content) -> bytes:
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet(content.word("title"))
    for row, cells in enumerate(content.table()):
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell)
    sheet.write(5, 0, content.text("chinese"))
    return _saved(book.save)


def ebooklib_book(content: Content) -> bytes:
    from ebooklib import epub

    book = epub.EpubBook()
    book.set_identifier(content.name)
    book.set_title(content.text("title"))
    book.set_language("en")
    chapters = []
    for number, parts in enumerate((("heading", "paragraph", "umlauts"), ("subheading", "chinese", "quote")), start=1):
        chapter = epub.EpubHtml(title=content.text(parts[0]), file_name=f"text/chapter {number}.xhtml")
        chapter.content = f"<h1>{content.text(parts[0])}</h1>" + "".join(f"<p>{content.text(p)}</p>" for p in parts[1:])
        book.add_item(chapter)
        chapters.append(chapter)
    book.toc = chapters
    book.add_item(epub.EpubNcx())
    book.add_item(epub.EpubNav())
    book.spine = ["nav", *chapters]
    target = io.BytesIO()
    epub.write_epub(target, book)
    return target.getvalue()


def reportlab_pdf(content: Content) -> bytes:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    styles = getSampleStyleSheet()
    flow: list[Any] = [
        Paragraph(content.text("title"), styles["Title"]),
        Paragraph(content.text("heading"), styles["h1"]),
    ]
    flow += [Paragraph(content.text(part), styles["Normal"]) for part in ("paragraph", "bold", "umlauts", "quote")]
    chinese = styles["Normal"].clone("chinese", fontName="STSong-Light")
    flow.append(Paragraph(content.text("chinese"), chinese))
    flow += [Paragraph(content.text(part), styles["Bullet"], bulletText="•") for part in ("bullet_1", "bullet_2")]
    flow.append(Table(content.table()))
    target = io.BytesIO()
    SimpleDocTemplate(target).build(flow)
    return target.getvalue()


def reportlab_form(content: Content) -> bytes:
    from reportlab.pdfgen import canvas

    target = io.BytesIO()
    page = canvas.Canvas(target)
    page.drawString(72, 780, content.text("title"))
    page.drawString(72, 740, content.text("paragraph"))
    page.acroForm.textfield(name="Customer", tooltip="Customer", value=content.text("field"), x=72, y=690, width=200)
    page.textAnnotation(content.text("comment"), Rect=(300, 690, 320, 710))
    page.save()
    return target.getvalue()


def fpdf2_pdf(content: Content) -> bytes:
    from fpdf import FPDF

    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=12)
    for part in ("title", "heading", "paragraph", "umlauts", "bullet_1", "quote"):
        pdf.multi_cell(0, 8, content.text(part), new_x="LMARGIN", new_y="NEXT")
    with pdf.table() as table:
        for cells in content.table():
            row = table.row()
            for cell in cells:
                row.cell(cell)
    return bytes(pdf.output())


def matplotlib_pdf(content: Content) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.set_title(content.text("title"))
    axes.set_xlabel(content.text("heading"))
    axes.plot([1, 2, 3], label=content.text("bullet_1"))
    axes.legend()
    target = io.BytesIO()
    figure.savefig(target, format="pdf")
    return target.getvalue()


def weasyprint_pdf(content: Content) -> bytes:
    from weasyprint import HTML

    return bytes(HTML(string=html(content, chinese=False)).write_pdf())


def typst_pdf(content: Content) -> bytes:
    import typst

    rows = ", ".join(f"[{cell}]" for cells in content.table() for cell in cells)
    source = "\n\n".join(content.text(part) for part in ("paragraph", "umlauts", "quote", "bold"))
    text = f"= {content.text('title')}\n== {content.text('heading')}\n{source}\n#table(columns: 3, {rows})\n"
    return bytes(typst.compile(text.encode()))


def nbformat_notebook(content: Content) -> bytes:
    from nbformat import v4

    cells = [
        v4.new_markdown_cell(f"# {content.text('title')}\n\n{content.text('paragraph')}"),
        v4.new_code_cell(
            content.text("code"), outputs=[v4.new_output("stream", name="stdout", text=content.text("umlauts"))]
        ),
        v4.new_markdown_cell(content.text("chinese")),
    ]
    import nbformat

    return nbformat.writes(v4.new_notebook(cells=cells)).encode()


def stdlib_mail(content: Content, *, part_html: bool = False) -> bytes:
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["Subject"] = content.text("title")
    mail["From"] = "Ann <ann@example.org>"
    mail["To"] = "bob@example.org"
    mail["Date"] = "Mon, 09 Mar 2026 10:00:00 +0100"
    mail.set_content("\n".join(content.text(part) for part in ("paragraph", "umlauts", "chinese")))
    if part_html:
        mail.add_alternative(f"<p>{content.text('paragraph')}</p>", subtype="html")
    return mail.as_bytes()


def html_mail(content: Content) -> bytes:
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["Subject"] = content.text("title")
    mail["From"] = "ann@example.org"
    mail.set_content(html(content), subtype="html", cte="base64")
    return mail.as_bytes()


def markdown_file(content: Content) -> bytes:
    return markdown(content).encode()


def htmldocx_document(content: Content) -> bytes:
    from docx import Document
    from htmldocx import HtmlToDocx

    document = Document()
    HtmlToDocx().add_html_to_document(html(content), document)
    return _saved(document.save)


def pyrtf_document(content: Content) -> bytes:
    from PyRTF import Elements
    from PyRTF.document.paragraph import Paragraph
    from PyRTF.document.section import Section

    document = Elements.Document()
    section = Section()
    document.Sections.append(section)
    for part in ("title", "paragraph", "umlauts", "bullet_1"):
        section.append(Paragraph(content.text(part)))
    target = io.StringIO()
    from PyRTF.Renderer import Renderer

    Renderer().Write(document, target)
    return target.getvalue().encode("ascii", errors="xmlcharrefreplace")


def stdlib_mailbox(content: Content) -> bytes:
    return b"From ann@example.org Mon Mar  9 10:00:00 2026\n" + stdlib_mail(content, part_html=True) + b"\n"


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    target = io.BytesIO()
    save(target)
    return target.getvalue()
