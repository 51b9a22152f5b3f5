from __future__ import annotations

import pytest

from services.knowledge.formats.sheets.csv_tables import read_csv
from tests.knowledge.parsing.pools import Parse

GERMAN = "Nachname;Vorname;Ort;Straße\nMüller;Jörg;Köln;Blumenweg 3\nGößling;Björn;Würzburg;Mühlgasse 1\n"


def tables(text: str, name: str = "a.csv") -> list[list[str]]:
    """Return the lines of each section, rules left out."""
    return [
        [line for line in section.text.split("\n") if line and not line.startswith("| ---")]
        for section in read_csv(text, name)
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Artikel;Preis\nBrot;1,50\nMilch;2,30\n", ["| Artikel | Preis |", "| Brot | 1,50 |", "| Milch | 2,30 |"]),
        ("1,5;2,5\n3,1;4,7\n", ["| |", "| 1,5 | 2,5 |", "| 3,1 | 4,7 |"]),
        ('City,Pop\nA,"1,200"\nB,"3,400"\n', ["| City | Pop |", "| A | 1,200 |", "| B | 3,400 |"]),
        ("sep=^\na^b\n1^2\n", ["| a | b |", "| 1 | 2 |"]),
        ("a|b|c\n1|2|3\n", ["| a | b | c |", "| 1 | 2 | 3 |"]),
        ("a\tb\n1,2\t3,4\n", ["| a | b |", "| 1,2 | 3,4 |"]),
        ("a:b:c\n1:2:3\n4:5:6\n", ["| a | b | c |", "| 1 | 2 | 3 |", "| 4 | 5 | 6 |"]),
        ("Line,Dep\nA,07:30\nB,08:40\n", ["| Line | Dep |", "| A | 07:30 |", "| B | 08:40 |"]),
        ("id;text\n1;Yes, all, again\n2;No, no\n", ["| id | text |", "| 1 | Yes, all, again |", "| 2 | No, no |"]),
        ('a,b\n"say ""hi""",2\n"say \'hi\'",3\n', ["| a | b |", '| say "hi" | 2 |', "| say 'hi' | 3 |"]),
        ('a,b\n"say \\"hi\\", ok",2\n"x",3\n', ["| a | b |", '| say "hi", ok | 2 |', "| x | 3 |"]),
    ],
    ids=[
        "decimals",
        "numbers",
        "thousands",
        "stated",
        "bars",
        "tabs",
        "colons",
        "times",
        "commas",
        "quotes",
        "escapes",
    ],
)
def test_the_delimiter_is_the_one_that_explains_the_cells(text: str, lines: list[str]) -> None:
    """Commas in numbers and sentences are no columns, colons in times are none; a first line may state it."""
    assert tables(text) == [lines]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16", "mac_roman"])
def test_what_excel_saves_in_german(parse: Parse, encoding: str) -> None:
    """Semicolons, whatever the encoding."""
    found = parse(GERMAN.encode(encoding), "kunden.csv")
    assert found.sections[0].text.split("\n")[2] == "| Müller | Jörg | Köln | Blumenweg 3 |"


def test_what_stands_above_the_header_is_kept_as_text() -> None:
    """Comments and labels above a table, and the row of units below its header."""
    found = list(
        read_csv(
            "# exported 2026-03-01\nStation:,Berlin\nDate,Temp,Wind,Rain,Sun\n,°C,m/s,mm,h\n"
            "2026-01-01,3.4,2.1,0.0,1.2\n2026-01-02,4.4,2.5,0.1,1.2\n2026-01-03,4.0,2.2,0.3,2.2\n"
        )
    )
    assert len(found) == 1
    assert found[0].text.split("\n")[:4] == [
        "# exported 2026-03-01",
        "Station: Berlin",
        "",
        "| Date | Temp (°C) | Wind (m/s) | Rain (mm) | Sun (h) |",
    ]
    assert found[0].heading == ("# exported 2026-03-01",)


def test_a_header_may_be_missing_doubled_or_numbers() -> None:
    """Rows of numbers have no header; years and two levels are one."""
    assert tables("1,2,3\n4,5,6\n7,8,9\n") == [["| |", "| 1 | 2 | 3 |", "| 4 | 5 | 6 |", "| 7 | 8 | 9 |"]]
    assert tables("Ada,1,2.5\nBo,2,3.5\nCy,5,6\n")[0][:2] == ["| |", "| Ada | 1 | 2.5 |"]
    assert tables("Region,2023,2024,2025\nN,10,12,13\nS,11,14,15\n")[0][0] == "| Region | 2023 | 2024 | 2025 |"
    levels = tables(",2025,,2026,\nRegion,Q1,Q2,Q1,Q2\nN,1,2,3,4\nS,5,6,7,8\n")
    assert levels[0][0] == "| Region | 2025 / Q1 | 2025 / Q2 | 2026 / Q1 | 2026 / Q2 |"
    assert tables("v,v,v\n1,2,3\n4,5,6\n")[0][0] == "| v | v | v |"


def test_odd_rows_lose_nothing() -> None:
    """Rows longer than the header or shorter, empty columns and lines, one column, an inch sign that opens a quote."""
    assert tables("a,b\n1,2,3,4\n5\n6,7\n") == [["| a | b |", "| 1 | 2 | 3 | 4 |", "| 5 |", "| 6 | 7 |"]]
    assert tables("a,,b\n1,,2\n\n3,,4\n") == [["| a | b |", "| 1 | 2 |", "| 3 | 4 |"]]
    assert tables("Name\nAda\nBo\nCy\n") == [["| Name |", "| Ada |", "| Bo |", "| Cy |"]]
    inches = 'size,name\n"6 pipe,b\n' + "".join(f"{n} pipe,d{n}\n" for n in range(300))
    rows = [line for lines in tables(inches) for line in lines]
    assert '| "6 pipe | b |' in rows
    assert "| 299 pipe | d299 |" in rows


def test_tables_below_each_other_are_told_apart() -> None:
    """An empty line and a header of another kind begin a table; rows that go on after an empty line do not."""
    found = tables("Name,Age\nAda,3\nBo,4\n\nCity,Country,Pop\nRome,Italy,3\nParis,France,2\n")
    assert [lines[0] for lines in found] == ["| Name | Age |", "| City | Country | Pop |"]
    assert len(tables("a,b\n1,2\n\n3,4\n\n5,6\n")) == 1


def test_a_row_wider_than_a_chunk_says_its_columns_in_each_piece(parse: Parse) -> None:
    """Sixty columns: each piece begins with names of columns, and each of its rows with the row's first cell."""
    rows = [["Nr", *(f"Col{n}" for n in range(60))], *([f"R{r}", *(f"v{r}x{n}" for n in range(60))] for r in range(40))]
    found = parse("\n".join(",".join(row) for row in rows).encode(), "wide.csv")
    seen = set()
    for chunk in found.chunks:
        header, rule, *lines = chunk.text.split("\n")
        names = [cell.strip() for cell in header.strip("|").split("|")]
        assert rule == "|---|"
        for line in lines:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == len(names)
            assert names[0] == "Nr"
            for name, cell in zip(names[1:], cells[1:], strict=True):
                assert cell == f"v{cells[0][1:]}x{name[3:]}"
                seen.add(cell)
    assert len(seen) == 40 * 60
    assert all(chunk.tokens <= 200 for chunk in found.chunks)


def test_tabs_named_as_a_workbook_are_a_table(parse: Parse) -> None:
    """Many programs give the ending ".xls" to text with tabs."""
    found = parse(b"Berth\tBoat\n12\tTern\n", "export.xls")
    assert found.media_type == "text/csv"
    assert found.sections[0].text.endswith("| 12 | Tern |")
    unicode_text = parse("Berth\tBoat\tFee\n12\tTern\t1,50\n13\tGull\t2\n".encode("utf-16"), "export.txt")
    assert unicode_text.sections[0].text.endswith("| 12 | Tern | 1,50 |\n| 13 | Gull | 2 |")
    assert "|" not in parse(b"A text\twith a tab.\nAnd a line.\nAnd more.\n", "a.txt").sections[0].text
