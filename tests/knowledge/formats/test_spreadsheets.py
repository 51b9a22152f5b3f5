from __future__ import annotations

import io
import re
from datetime import date
from pathlib import Path

import pytest

from services.core.errors import BadInputError
from services.knowledge.formats.registry import FORMATS
from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.formats.table_set import ods_content, ods_file
from tests.knowledge.formats.xlsb_file import xlsb
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "documents"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT_TYPES = "http://purl.oclc.org/ooxml/officeDocument/relationships"


def raw_xlsx(sheet: str, *, space: str = MAIN, types: str = TYPES, prefix: str = "", **parts: str) -> bytes:
    """Return a workbook of one sheet with this XML, with `sharedStrings` and `styles` where they are given."""
    name, xmlns = (f"{prefix}:", f"xmlns:{prefix}") if prefix else ("", "xmlns")
    rels = '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    related = "".join(f'<Relationship Id="{part}" Type="{types}/{part}" Target="{part}.xml"/>' for part in parts)
    return samples.zipped(
        {
            "_rels/.rels": f'{rels}<Relationship Id="r" Type="{types}/officeDocument" Target="/xl/workbook.xml"/>'
            "</Relationships>",
            "xl/workbook.xml": f'<{name}workbook {xmlns}="{space}" xmlns:r="{types}"><{name}sheets>'
            f'<{name}sheet name="S" sheetId="1" r:id="s"/></{name}sheets></{name}workbook>',
            "xl/_rels/workbook.xml.rels": f'{rels}<Relationship Id="s" Type="{types}/worksheet" Target="sheets/1.xml"/>'
            f"{related}</Relationships>",
            "xl/sheets/1.xml": f'<{name}worksheet {xmlns}="{space}">{sheet}</{name}worksheet>',
            **{f"xl/{part}.xml": content for part, content in parts.items()},
        }
    )


def lines(found: ParsedFile, sheet: str = "") -> list[str]:
    """Return the lines of the sections of a sheet, rules left out."""
    texts = [section.text for section in found.sections if not sheet or section.sheet == sheet]
    return [line for text in texts for line in text.split("\n") if line and not re.fullmatch(r"\|( --- \|)+", line)]


def notes(found: ParsedFile) -> list[str]:
    return [note.text for note in notes_of(found.notes)]


@pytest.mark.parametrize(
    "name", [f"{by}.{kind}" for by in ("libreoffice", "gnumeric") for kind in ("ods", "xls", "xlsx")]
)
def test_workbooks_of_other_programs_say_the_same(parse: Parse, name: str) -> None:
    """Number formats, merged cells, two header rows, tables side by side, comments and hidden sheets of each format."""
    found = parse((FIXTURES / f"sheets_{name}").read_bytes(), "upload")
    assert found.media_type == FORMATS[name.rpartition(".")[2]].media_type
    rates = lines(found, "Rates")
    assert rates[:2] == ["Price list 2026", "| Product | Discount | Valid from | Price | OK |"]
    assert rates[2].startswith("| Lantern | 15.0% [Comment")
    assert rates[2].endswith("checked by Ada] | 09/03/2026 | 1,234,567.89 EUR | TRUE |")
    assert rates[5] == "| Total |  |  | 1234594.79 | #DIV/0! |"
    assert lines(found, "Crew")[1:] == [
        "| Albatross | Captain | Ines |",
        "| Albatross | Mate | Jorge |",
        "| Petrel | Captain | Una |",
        "| Petrel | Cook | Lev |",
    ]
    assert lines(found, "Quarters")[0] == "| Region | 2025 / Q1 | 2025 / Q2 | 2026 / Q1 | 2026 / Q2 |"
    side = [section for section in found.sections if section.sheet == "Side"]
    assert [section.text.split("\n")[0] for section in side] == ["| Name | Role |", "| City | Pop |", "Stock"]
    assert side[2].heading == ("Stock",)
    secret = lines(found, "Secret")
    assert secret[1:] == ["| X1 | 00741 |", "| X2 | 7:30:00 |", "| X3 | 2026-03-09 7:30:00 |", "| X4 | 36:30 |"]
    assert "1 comment was kept and marked" in notes(found)
    assert "2 hidden rows or columns were read (Secret)" in notes(found)
    if name != "gnumeric.xlsx":  # it does not write that
        assert "A hidden sheet was read: Secret" in notes(found)


def test_a_flat_opendocument_file_is_read(parse: Parse) -> None:
    """A spreadsheet in one XML file, its rows and columns repeated, its empty rows to the end of the sheet skipped."""
    rows = (
        '<table:table-row><table:table-cell office:value-type="string"><text:p>Berth</text:p></table:table-cell>'
        "<table:table-cell><text:p>Boat</text:p></table:table-cell></table:table-row>"
        '<table:table-row table:number-rows-repeated="2"><table:table-cell office:value-type="percentage" '
        'office:value="0.15"/><table:table-cell><text:p>Tern<text:s text:c="2"/>II</text:p></table:table-cell>'
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        '<table:table-row><table:table-cell table:formula="of:=SUM([.A1:.A2])"/></table:table-row>'
        '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    )
    content = ods_content(f'<table:table table:name="Quay">{rows}</table:table>')
    flat = content.replace("office:document-content", "office:document").replace(
        "<office:document ", '<office:document office:mimetype="application/vnd.oasis.opendocument.spreadsheet" '
    )
    for data, kind in (
        (flat.encode(), "fods"),
        (ods_file(f'<table:table table:name="Quay">{rows}</table:table>'), "ods"),
    ):
        found = parse(data, "berths")
        assert found.media_type == FORMATS[kind].media_type
        assert lines(found) == ["| Berth | Boat |", "| 15% | Tern II |", "| 15% | Tern II |", "| =SUM([.A1:.A2]) |"]
        assert notes(found) == ["1 formula without a value: its text was kept (Quay)"]


XML_2003 = """<?xml version="1.0"?>
<?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:x="urn:schemas-microsoft-com:office:excel" xmlns:html="http://www.w3.org/TR/REC-html40">
<Styles><Style ss:ID="p"><NumberFormat ss:Format="Percent"/></Style>
<Style ss:ID="d"><NumberFormat ss:Format="dd/mm/yyyy"/></Style>
<Style ss:ID="z"><NumberFormat ss:Format="00000"/></Style></Styles>
<Worksheet ss:Name="Rates"><Table ss:ExpandedColumnCount="4">
<Row><Cell><Data ss:Type="String">Ship</Data></Cell><Cell><Data ss:Type="String">Share</Data></Cell>
<Cell><Data ss:Type="String">From</Data></Cell><Cell><Data ss:Type="String">Code</Data></Cell></Row>
<Row ss:Index="4"><Cell ss:MergeDown="1"><Data ss:Type="String">Tern</Data><Comment ss:Author="Ada">
<ss:Data><html:B>Ada:</html:B> sold</ss:Data></Comment></Cell>
<Cell ss:StyleID="p"><Data ss:Type="Number">0.15</Data></Cell>
<Cell ss:StyleID="d"><Data ss:Type="DateTime">2026-03-09T00:00:00.000</Data></Cell>
<Cell ss:StyleID="z"><Data ss:Type="Number">741</Data></Cell></Row>
<Row><Cell ss:Index="3"><Data ss:Type="DateTime">2026-04-01T00:00:00.000</Data></Cell>
<Cell ss:Formula="=RC[-1]+1"/></Row></Table></Worksheet>
<Worksheet ss:Name="Hidden"><Table><Row><Cell><Data ss:Type="Boolean">1</Data></Cell></Row></Table>
<WorksheetOptions xmlns="urn:schemas-microsoft-com:office:excel"><Visible>SheetHidden</Visible></WorksheetOptions>
</Worksheet></Workbook>"""


def test_a_workbook_in_one_xml_file_is_read(parse: Parse) -> None:
    """What Excel 2003 and many web applications write, often with the ending ".xls"."""
    found = parse(XML_2003.encode(), "export.xls")
    assert found.media_type == FORMATS["spreadsheet-xml"].media_type
    assert lines(found, "Rates") == [
        "| Ship | Share | From | Code |",
        "| Tern [Comment by Ada: Ada: sold] | 15.00% | 09/03/2026 | 00741 |",
        "| Tern [Comment by Ada: Ada: sold] |  | 2026-04-01 | =RC[-1]+1 |",
    ]
    assert notes(found) == [
        "1 formula without a value: its text was kept (Rates)",
        "1 comment was kept and marked",
        "A hidden sheet was read: Hidden",
    ]


def test_a_binary_workbook_is_read_as_it_is_shown(parse: Parse) -> None:
    """Number formats, merged cells, shared texts, truth values of XLSB; a broken one is refused."""
    data = xlsb(
        [
            ["Ship", "Share", "From", "Code", "Sold"],
            ["Tern", (0.15, 1), (46090, 2), (741, 3), True],
            [None, (0.5, 1), (46113.0, 2), (12, 3), False],
        ],
        formats=("0.0%", "dd/mm/yyyy", "00000"),
        merged=[(1, 2, 0, 0)],
    )
    found = parse(data, "a.xlsb")
    assert found.media_type == FORMATS["xlsb"].media_type
    assert lines(found, "Rates") == [
        "| Ship | Share | From | Code | Sold |",
        "| Tern | 15.0% | 09/03/2026 | 00741 | TRUE |",
        "| Tern | 50.0% | 01/04/2026 | 00012 | FALSE |",
    ]
    with pytest.raises(BadInputError):
        parse(samples.zipped({"xl/workbook.bin": b"\x9c\x01\xff"}), "a.xlsb")


def test_formulas_without_a_value_are_kept_and_noted(parse: Parse) -> None:
    """openpyxl writes no values and XlsxWriter a zero: the formula's text stands instead, a shared one is moved."""
    found = parse(samples.xlsx({"Budget": [["Item", "Amount"], ["Ropes", 1200], ["Total", "=SUM(B2:B2)"]]}), "a.xlsx")
    assert lines(found) == ["| Item | Amount |", "| Ropes | 1200 |", "| Total | =SUM(B2:B2) |"]
    assert notes(found) == ["1 formula without a value: its text was kept (Budget)"]
    from xlsxwriter import Workbook

    out = io.BytesIO()
    book = Workbook(out)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["Item", "Amount"])
    sheet.write_row(1, 0, ["Ropes", 1200])
    sheet.write_formula("B3", "=B2*2")
    sheet.write_formula("B4", "=B2*3", None, 3600)
    book.close()
    assert lines(parse(out.getvalue(), "a.xlsx"))[2:] == ["|  | =B2*2 |", "|  | 3600 |"]
    shared = (
        '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Twice</t></is></c><c r="B1" t="inlineStr"><is><t>Once</t>'
        '</is></c></row><row r="2"><c r="A2"><f t="shared" ref="A2:A3" si="0">B2*2</f></c><c r="B2"><v>4</v></c></row>'
        '<row r="3"><c r="A3"><f t="shared" si="0"/></c><c r="B3"><v>5</v></c></row></sheetData>'
    )
    assert lines(parse(raw_xlsx(shared), "a.xlsx")) == ["| Twice | Once |", "| =B2*2 | 4 |", "| =B3*2 | 5 |"]


def test_formulas_of_an_old_workbook_without_a_value_are_kept(parse: Parse) -> None:
    """A library for XLS writes formulas that nobody has computed: their text is made from their tokens."""
    found = parse((FIXTURES / "formulas_xlwt.xls").read_bytes(), "a.xls")
    assert lines(found)[1:] == ["| Ropes | 1200 | =B2/B4 |", "| Sails | 3800 |", "| Total | =SUM(B2:B3) |"]
    assert notes(found) == ["2 formulas without a value: their text was kept (Budget)"]


def test_style_sheets_of_other_programs_do_not_matter(parse: Parse) -> None:
    """A colour of three digits, a style sheet that is no XML, and none at all: the cells are read all the same."""
    sheet = (
        '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>Berth</t></is></c><c r="B1" t="inlineStr"><is><t>Boat</t>'
        '</is></c></row><row r="2"><c r="A2" s="7"><v>12</v></c><c r="B2" t="str"><v>Tern</v></c></row></sheetData>'
    )
    odd = f'<styleSheet xmlns="{MAIN}"><fonts><font><color rgb="F00"/></font></fonts><cellXfs/></styleSheet>'
    for styles in (odd, "<styleSheet><broken", "<styleSheet/>"):
        found = parse(raw_xlsx(sheet, styles=styles), "a.xlsx")
        assert lines(found) == ["| Berth | Boat |", "| 12 | Tern |"]
        assert notes(found) == (["1 part is damaged and was not read: styles.xml"] if "broken" in styles else [])
    assert lines(parse(raw_xlsx(sheet), "a.xlsx"))[1] == "| 12 | Tern |"


def test_other_ways_to_write_a_sheet(parse: Parse) -> None:
    """Prefixed names, cells without names, strict namespaces, dates as text, errors, texts in runs with readings."""
    prefixed = (
        '<x:sheetData><x:row><x:c t="inlineStr"><x:is><x:t>Berth</x:t></x:is></x:c><x:c/><x:c t="inlineStr"><x:is>'
        "<x:t>Boat</x:t></x:is></x:c></x:row><x:row><x:c><x:v>12</x:v></x:c><x:c/>"
        '<x:c t="str"><x:v>Tern</x:v></x:c></x:row></x:sheetData>'
    )
    assert lines(parse(raw_xlsx(prefixed, prefix="x"), "a.xlsx")) == ["| Berth | Boat |", "| 12 | Tern |"]
    strict = (
        '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row><row r="2">'
        '<c r="A2" t="d"><v>2026-03-09T00:00:00</v></c><c r="B2" t="b"><v>1</v></c></row><row r="3"><c r="A3" t="d">'
        '<v>2026-03-10T07:30:00</v></c><c r="B3" t="e"><v>#N/A</v></c></row></sheetData>'
    )
    strings = (
        f'<sst xmlns="{STRICT}"><si><r><t>Da</t></r><r><t xml:space="preserve">te_x000D_</t></r></si>'
        "<si><t>課長</t><rPh><t>カチョウ</t></rPh></si></sst>"
    )
    data = raw_xlsx(strict, space=STRICT, types=STRICT_TYPES, sharedStrings=strings)
    assert lines(parse(data, "a.xlsx")) == [
        "| Date | 課長 |",
        "| 2026-03-09 | TRUE |",
        "| 2026-03-10 07:30:00 | #N/A |",
    ]


def test_formatted_empty_cells_cost_nothing(parse: Parse) -> None:
    """Three rows of data above a million formatted cells, with names and without, are three rows."""
    data = (("Berth", "Boat"), ("12", "Tern"), ("13", "Gull"))
    cell = '<c r="{}{}" t="inlineStr"><is><t>{}</t></is></c>'
    filled = "".join(
        f'<row r="{n}">{cell.format("A", n, a)}{cell.format("B", n, b)}</row>' for n, (a, b) in enumerate(data, 1)
    )
    empty = '<c s="1"/>' * 1000
    nameless = "".join(f'<row r="{n}">{empty}</row>' for n in range(4, 504))
    named = "".join(f'<row r="{n}"><c r="C{n}" s="1"/><c r="AA{n}" s="1"/></row>' for n in range(504, 2000))
    found = parse(raw_xlsx(f"<sheetData>{filled}{nameless}{named}</sheetData>"), "a.xlsx")
    assert lines(found) == ["| Berth | Boat |", "| 12 | Tern |", "| 13 | Gull |"]


def test_charts_text_boxes_tables_and_page_headers_are_read(parse: Parse) -> None:
    """What XlsxWriter can put on a sheet beside cells: nothing of it is lost in silence."""
    from xlsxwriter import Workbook

    out = io.BytesIO()
    book = Workbook(out)
    sheet = book.add_worksheet("Data")
    sheet.write("B1", "Ports of the North Sea")
    data = [["Rotterdam", 441], ["Antwerp", 287]]
    sheet.add_table("B3:C5", {"data": data, "columns": [{"header": "Port"}, {"header": "Tonnes"}]})
    sheet.add_table("F3:G4", {"data": [["Kiel", "Baltic"]], "columns": [{"header": "Town"}, {"header": "Water"}]})
    sheet.write_rich_string("B9", "plain ", book.add_format({"bold": True}), "bold", " end")
    sheet.write_url("B10", "https://example.test/x", string="the manual")
    sheet.insert_textbox("J2", "Berths are paid in advance")
    chart = book.add_chart({"type": "column"})
    chart.add_series({"name": "Tonnes", "categories": "=Data!$B$4:$B$5", "values": "=Data!$C$4:$C$5"})
    chart.set_title({"name": "Cargo by port"})
    sheet.insert_chart("J10", chart)
    sheet.set_header("&LHarbour office&RCustomer 4711&C&P")
    book.close()
    found = parse(out.getvalue(), "a.xlsx")
    texts = [section.text for section in found.sections]
    assert "| Town | Water |\n| --- | --- |\n| Kiel | Baltic |" in texts
    ports = next(
        section for section in found.sections if "Rotterdam | 441 |" in section.text and "Port |" in section.text
    )
    assert ports.heading == ("Ports of the North Sea",)
    everything = "\n".join(texts)
    for words in ("plain bold end", "the manual", "Berths are paid in advance", "Cargo by port", "Customer 4711"):
        assert words in everything
    assert "example.test" not in everything


def test_a_sheet_with_all_its_columns_is_read(parse: Parse) -> None:
    """16,384 columns: each piece has the key column, its names and its values."""
    rows = [["Key", *(f"Col{n}" for n in range(1, 16_384))], ["Maple", *(f"v{n}" for n in range(1, 16_384))]]
    found = parse("\n".join(",".join(row) for row in rows).encode(), "wide.csv")
    for n in (1, 777, 16_383):
        (chunk,) = [chunk for chunk in found.chunks if re.search(rf"\bv{n}\b", chunk.text)]
        assert re.search(rf"\bCol{n}\b", chunk.text)
        assert "Maple" in chunk.text
    assert max(len(section.text) for section in found.sections) < 20_000


def test_protected_and_damaged_workbooks_are_refused_by_name(parse: Parse) -> None:
    """What is encrypted says so; half a sheet is no document."""
    from tests.knowledge.parsing.samples import zipped

    manifest = "<manifest><file-entry><encryption-data/></file-entry></manifest>"
    protected = zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": "noise",
            "META-INF/manifest.xml": manifest,
        }
    )
    with pytest.raises(BadInputError, match="password"):
        parse(protected, "a.ods")
    with pytest.raises(BadInputError, match="damaged"):
        parse(raw_xlsx('<sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c'), "a.xlsx")
    data = (FIXTURES / "sheets_libreoffice.xls").read_bytes()
    with pytest.raises(BadInputError, match="damaged"):
        parse(data[: len(data) // 3], "a.xls")


def test_merged_titles_and_long_merged_columns(parse: Parse) -> None:
    """A title merged across is said once, a value merged down stands in every row, far from where it begins."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["Crew list 2026", None, None])
    sheet.append(["Ship", "Role", "Since"])
    for at in range(300):
        sheet.append(["Albatross" if at == 0 else None, f"Sailor {at}", date(2026, 3, 9)])
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("A3:A302")
    out = io.BytesIO()
    book.save(out)
    found = parse(out.getvalue(), "a.xlsx", chunk_tokens=100)
    text = "\n".join(section.text for section in found.sections)
    assert text.count("Crew list 2026") == 1
    assert text.count("| Albatross | Sailor") == 300
    assert all(
        "| Albatross | Sailor" in chunk.text and "| Ship | Role | Since |" in chunk.text for chunk in found.chunks
    )
