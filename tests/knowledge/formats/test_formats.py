from __future__ import annotations

from datetime import date

import pytest

from services.knowledge.formats.registry import FORMATS
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

CHINESE = "年假为每年十五天，未休完的年假可以顺延到次年三月。"


def test_pdf_pages_are_kept(parse: Parse) -> None:
    """Each page is a section with its number, pages without text are counted, and progress tells the page."""
    seen = []
    found = parse(samples.pdf([["Alpha on one."], [], ["Gamma on three."]]), "report.pdf", on_progress=seen.append)
    assert found.media_type == "application/pdf"
    assert found.pages == 3
    assert [(section.page, section.text) for section in found.sections] == [
        (1, "Alpha on one."),
        (3, "Gamma on three."),
    ]
    assert [(chunk.page, chunk.text) for chunk in found.chunks] == [(1, "Alpha on one."), (3, "Gamma on three.")]
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (3, 3, "page")


def test_chinese_pdf_is_read(parse: Parse) -> None:
    """Text in a CID font without an embedded file comes out as text."""
    found = parse(samples.pdf([[CHINESE]], chinese=True), "年假.pdf")
    assert found.sections[0].text == CHINESE
    assert "年假" in found.chunks[0].terms.split()


def test_words_hyphenated_at_a_line_end_are_joined(parse: Parse) -> None:
    """A word that a PDF breaks is found whole."""
    found = parse(samples.pdf([["The reim-", "bursement is paid."]]), "a.pdf")
    assert "reimbursement is paid" in found.sections[0].text


def test_docx_headings_and_tables_are_kept(parse: Parse) -> None:
    """Headings become the path of what follows them; a table keeps its cells; marks of style are gone."""
    table = "".join(
        "<w:tr>" + "".join(f"<w:tc>{samples.paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in (("Grade", "Days"), ("Senior", "25"))
    )
    found = parse(
        samples.docx(
            samples.paragraph("Handbook", "Heading1")
            + samples.paragraph("Intro with a_name and 2 * 3.")
            + samples.paragraph("Leave", "Heading2")
            + f"<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>Bold rule.</w:t></w:r></w:p><w:tbl>{table}</w:tbl>"
        ),
        "handbook.docx",
    )
    assert found.media_type == FORMATS["docx"].media_type
    assert [section.heading for section in found.sections] == [("Handbook",), ("Handbook", "Leave")]
    assert found.sections[0].text == "Handbook\n\nIntro with a_name and 2 * 3."
    assert found.sections[1].text.startswith("Leave\n\nBold rule.")
    assert "| Senior | 25 |" in found.sections[1].text


def test_pptx_slides_are_pages(parse: Parse) -> None:
    """Slide numbers are pages, titles headings, notes are read; a slide's text cannot pose as another slide."""
    found = parse(
        samples.pptx(
            [
                ("Plan", "First point\n<!-- Slide number: 7 -->", "Say hello"),
                ("Costs", "Ten million", ""),
            ]
        ),
        "deck.pptx",
    )
    assert found.media_type == FORMATS["pptx"].media_type
    assert found.pages == 2
    assert {section.page for section in found.sections} == {1, 2}
    assert found.sections[0].heading == ("Plan",)
    assert "Say hello" in " ".join(section.text for section in found.sections if section.page == 1)
    assert [chunk.page for chunk in found.chunks if "Ten million" in chunk.text] == [2]


def test_xlsx_sheets_are_kept(parse: Parse) -> None:
    """Sheet names survive, empty rows and cells do not become words, dates and numbers read as people write them."""
    found = parse(
        samples.xlsx(
            {
                "Staff": [
                    ["Name", "Since", "Pay"],
                    ["Ada", date(2021, 5, 4), 1000.0],
                    [None, None, None],
                    ["Bo", None, 2.5],
                ],
                "预算": [["部门", "金额"], ["研发", 300]],
                "Empty": [],
            }
        ),
        "numbers.xlsx",
    )
    assert found.media_type == FORMATS["xlsx"].media_type
    assert {chunk.sheet for chunk in found.chunks} == {"Staff", "预算"}
    staff = next(section for section in found.sections if section.sheet == "Staff")
    assert staff.text.splitlines() == [
        "| Name | Since | Pay |",
        "| --- | --- | --- |",
        "| Ada | 2021-05-04 | 1000 |",
        "| Bo |  | 2.5 |",
    ]
    assert "nan" not in staff.text.lower()


def test_a_long_sheet_is_cut_with_its_header_repeated(parse: Parse) -> None:
    """Rows of a spreadsheet do not lose the names of their columns."""
    rows = [["City", "Population"], *([f"Town {n}", n * 100] for n in range(500))]
    found = parse(samples.xlsx({"Cities": rows}), "cities.xlsx", chunk_tokens=100)
    assert all(chunk.text.startswith("| City | Population |") for chunk in found.chunks)
    assert sum(chunk.text.count("Town 321 ") for chunk in found.chunks) == 1


def test_titles_above_a_table_are_not_its_header(parse: Parse) -> None:
    """Spreadsheets begin with a title more often than not; the names of the columns come after it."""
    found = parse(samples.xlsx({"S": [["Budget 2026"], [], ["Dept", "EUR"], ["IT", 5]]}), "b.xlsx")
    assert found.sections[0].heading == ("Budget 2026",)
    assert found.sections[0].text.splitlines()[:3] == ["Budget 2026", "", "| Dept | EUR |"]
    one_column = parse(samples.xlsx({"S": [[f"name {n}"] for n in range(9)]}), "c.xlsx")
    assert [f"name {n}" in one_column.sections[0].text for n in range(9)] == [True] * 9


def test_epub_chapters_are_headings(parse: Parse) -> None:
    """Chapters come in reading order with their headings."""
    found = parse(samples.epub([("One", "It was a dark night."), ("Two", "Morning came.")]), "book.epub")
    assert found.media_type == FORMATS["epub"].media_type
    assert [section.heading for section in found.sections][-2:] == [("One",), ("Two",)]
    assert "dark night" in found.chunks[0].text


def test_html_is_read_without_its_scripts(parse: Parse) -> None:
    """Scripts and styles are dropped, headings kept, links and pictures reduced to their words."""
    page = """<!DOCTYPE html><html><head><title>Page</title><style>p{color:red}</style></head><body>
    <h1>Rules</h1><p onclick="steal()">Pay <b>within</b> <a href="http://x.test/">30 days</a>.</p>
    <img src="data:image/png;base64,AAAA" alt="a chart"><script>alert('boo')</script><noscript>enable</noscript>
    <h2>Late</h2><ul><li>First</li><li>Second &lt;b&gt;</li></ul></body></html>"""
    found = parse(page.encode(), "page.html")
    text = "\n".join(section.text for section in found.sections)
    assert found.media_type == "text/html"
    assert "Pay within 30 days." in text
    assert "a chart" in text
    assert "- First\n- Second <b>" in text
    assert not {"alert", "color:red", "steal", "base64", "http://x.test"} & set(text.replace("(", " ").split())
    assert "alert" not in text
    assert [section.heading for section in found.sections] == [("Rules",), ("Rules", "Late")]


def test_html_in_its_declared_encoding(parse: Parse) -> None:
    """An old page that says that it is GB2312 is read as that."""
    page = f'<html><head><meta charset="gb2312"></head><body><p>{CHINESE}</p></body></html>'
    assert CHINESE in parse(page.encode("gb18030"), "old.htm").sections[0].text


def test_markdown_headings_are_kept(parse: Parse) -> None:
    """Headings of both kinds make the path; a `#` inside code is no heading."""
    found = parse(
        b"# Guide #\n\nHello.\n\nSetup\n-----\n\n```sh\n# not a heading\n```\n\n### Deep\ntext\n\n## Next\nend\n",
        "a.md",
    )
    assert [section.heading for section in found.sections] == [
        ("Guide",),
        ("Guide", "Setup"),
        ("Guide", "Setup", "Deep"),
        ("Guide", "Next"),
    ]
    assert "# not a heading" in found.sections[1].text
    assert found.sections[1].text.startswith("Setup\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_rows_keep_their_header(parse: Parse, delimiter: str) -> None:
    """Whatever separates the cells, each chunk begins with the header; quoted line ends do not break rows."""
    rows = [["name", "note"], *([f"item {n}", '"first\nsecond"'] for n in range(200))]
    found = parse("\n".join(delimiter.join(row) for row in rows).encode(), "list.csv", chunk_tokens=80)
    assert found.media_type == "text/csv"
    assert all(chunk.text.startswith("| name | note |\n|---|\n| item") for chunk in found.chunks)
    assert "| item 7 | first second |" in found.sections[0].text


def test_a_csv_of_one_row_is_read(parse: Parse) -> None:
    """A header without rows is text, too."""
    assert parse(b"alpha,beta\n", "x.csv").sections[0].text == "| alpha | beta |"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (samples.pdf([["Content decides."]]), "pdf"),
        (samples.docx(samples.paragraph("Content decides.")), "docx"),
        (samples.pptx([("T", "Content decides.", "")]), "pptx"),
        (samples.xlsx({"S": [["Content decides."]]}), "xlsx"),
        (samples.epub([("T", "Content decides.")]), "epub"),
        (b"<!-- c --><!doctype HTML><p>Content decides.", "html"),
        (b"Content decides.", "text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", ["file", "wrong.txt", "wrong.pdf", "wrong.docx", "..", ""])
def test_content_decides_what_a_file_is(parse: Parse, data: bytes, kind: str, name: str) -> None:
    """No extension and a wrong one make no difference where the content is recognised."""
    found = parse(data, name)
    assert found.media_type == FORMATS[kind].media_type
    assert "Content decides." in found.chunks[-1].text


def test_long_texts_become_several_sections(parse: Parse) -> None:
    """A section stays small enough to be shown, and nothing is lost between sections."""
    text = "\n\n".join(f"Paragraph {n} says something of its own." for n in range(3000))
    found = parse(text.encode(), "long.txt")
    assert len(found.sections) > 3
    assert "\n\n".join(section.text for section in found.sections) == text
