# ruff: noqa: E501 - a row or a question with its answer reads best as one line
"""Twenty tables of different shapes, and questions for single cells of them.

Made on the spot: CSV by Python, XLSX by openpyxl and XlsxWriter, ODS as XML.
"""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time
from xml.sax.saxutils import escape

Rows = Sequence[Sequence[object]]
_NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (("office", "office"), ("table", "table"), ("text", "text"), ("style", "style"))
)


@dataclass(frozen=True)
class Table:
    """A file with a table, and (question, what tells the row, the cell that answers) for some of its cells."""

    name: str
    data: bytes
    questions: tuple[tuple[str, str, str], ...]


def to_csv(rows: Rows, delimiter: str = ",") -> bytes:
    """Return rows as CSV."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def to_xlsx(rows: Rows, formats: dict[int, str] | None = None, merged: Iterable[str] = ()) -> bytes:
    """Return rows as XLSX by openpyxl, with number formats by column from 1."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(list(row))
    for column, code in (formats or {}).items():
        for (cell,) in sheet.iter_rows(min_col=column, max_col=column):
            cell.number_format = code
    for each in merged:
        sheet.merge_cells(each)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def to_xlsxwriter(rows: Rows, formats: dict[int, str] | None = None) -> bytes:
    """Return rows as XLSX by XlsxWriter."""
    from xlsxwriter import Workbook

    out = io.BytesIO()
    book = Workbook(out)
    sheet = book.add_worksheet("Data")
    styles = {column: book.add_format({"num_format": code}) for column, code in (formats or {}).items()}
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            sheet.write(at, column, value, styles.get(column + 1))
    book.close()
    return out.getvalue()


def ods_content(body: str) -> str:
    """Return the content.xml of a spreadsheet with these tables."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMESPACES}><office:body>'
        f"<office:spreadsheet>{body}</office:spreadsheet></office:body></office:document-content>"
    )


def ods_file(body: str) -> bytes:
    """Return an ODS file with these tables."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr("content.xml", ods_content(body))
    return out.getvalue()


def to_ods(rows: Rows) -> bytes:
    """Return rows as ODS."""
    lines = "".join(
        "<table:table-row>"
        + "".join(
            f"<table:table-cell><text:p>{escape(str(cell))}</text:p></table:table-cell>"
            if cell is not None
            else "<table:table-cell/>"
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    return ods_file(f'<table:table table:name="Sheet1">{lines}</table:table>')


def tables() -> list[Table]:  # noqa: PLR0915 - twenty tables
    """Return the tables with their questions."""
    random.seed(20)
    found: list[Table] = []

    def add(name: str, make: Callable[[Rows], bytes], rows: Rows, *questions: tuple[str, str, str]) -> None:
        found.append(Table(name, make(rows), questions))

    tools = ["Hammer", "Saw", "Drill", "Pliers", "Wrench", "Chisel", "Mallet", "Level", "Clamp", "Vise", "File", "Rasp", "Plane", "Awl", "Square",
             "Punch", "Snips", "Trowel", "Sander", "Router", "Jigsaw", "Lathe", "Anvil", "Crowbar", "Hatchet", "Spade", "Rake", "Hoe"]  # fmt: skip
    prices = [[f"T-{100 + at}", tool, f"{7 + at * 3}.50", 3 + at] for at, tool in enumerate(tools)]
    add(
        "price list tools.csv", to_csv, [["Article no.", "Tool", "Price EUR", "Stock"], *prices],
        ("What does the jigsaw cost?", "Jigsaw", "67.50"), ("price of article T-107", "T-107", "28.50"),
        ("How many hatchets are in stock?", "Hatchet", "27"), ("What is the article number of the anvil?", "Anvil", "T-122"),
    )  # fmt: skip
    staff = ["Ada Brandt", "Bo Larsson", "Cem Aydin", "Dana Novak", "Eli Stone", "Fay Wong", "Gus Meyer", "Hana Sato",
             "Ivo Petrov", "Jun Li", "Kaya Demir", "Leo Rossi", "Mia Olsen", "Nils Berg", "Ola Kowal", "Pia Lund"]  # fmt: skip
    jobs = ["accountant", "nurse", "plumber", "cook", "driver", "teacher", "baker", "judge"]
    rows = [[who, jobs[at % 8], f"Room {200 + at}", f"ext. {4000 + 7 * at}", date(2010 + at, 1 + at % 12, 3 + at)] for at, who in enumerate(staff)]  # fmt: skip
    add(
        "staff.xlsx", lambda rows: to_xlsx(rows, {5: "yyyy-mm-dd"}), [["Name", "Job", "Office", "Phone", "Hired"], *rows],
        ("What is the phone number of Dana Novak?", "Dana Novak", "ext. 4021"), ("Which office does Leo Rossi have?", "Leo Rossi", "Room 211"),
        ("When was Hana Sato hired?", "Hana Sato", "2017-08-10"), ("What is Mia Olsen's job?", "Mia Olsen", "driver"),
    )  # fmt: skip
    codes = [[f"E{310 + at}", text, action] for at, (text, action) in enumerate([
        ("Paper jam in tray 2", "Open the rear door and pull the sheet out"), ("Toner low", "Order cartridge 78X"),
        ("Fuser too hot", "Let the device cool for 20 minutes"), ("Drum worn out", "Replace the drum unit"),
        ("Network cable unplugged", "Check the cable and the switch"), ("Lid open", "Close the scanner lid"),
        ("Memory full", "Print fewer pages at once"), ("Waste box full", "Empty the waste toner box"),
        ("Fan blocked", "Remove dust from the grille"), ("Wrong paper size", "Set the guides to A4"),
        ("Motor stalled", "Call the service hotline"), ("Door sensor faulty", "Exchange sensor S4")])]  # fmt: skip
    add(
        "error codes printer.ods", to_ods, [["Code", "Meaning", "What to do"], *codes],
        ("What does error E315 mean?", "E315", "Lid open"), ("What must I do when the fuser is too hot?", "Fuser too hot", "cool for 20 minutes"),
        ("E320", "E320", "Motor stalled"), ("Which code does a full waste box have?", "Waste box full", "E317"),
    )  # fmt: skip
    stops = [
        "Harbour",
        "Market Square",
        "Museum",
        "University",
        "Stadium",
        "Airport",
        "Castle",
        "Hospital",
        "Old Mill",
        "Zoo",
    ]
    times = [[stop, *(time(6 + trip, (3 + 4 * at) % 60) for trip in range(5))] for at, stop in enumerate(stops)]
    add(
        "timetable bus 12.xlsx", lambda rows: to_xlsxwriter(rows, dict.fromkeys(range(2, 7), "hh:mm")),
        [["Stop", "Trip 1", "Trip 2", "Trip 3", "Trip 4", "Trip 5"], *times],
        ("When does trip 3 leave the Museum?", "Museum", "08:11"), ("bus 12 departure at the Stadium, trip 1", "Stadium", "06:19"),
        ("When is trip 5 at the Hospital?", "Hospital", "10:31"),
    )  # fmt: skip
    stations = ["Brocken", "Zugspitze", "Helgoland", "Potsdam", "Aachen", "Cottbus", "Emden", "Fulda", "Gera", "Hof"]
    measured = [[s, f"{3 + at},{at}", f"{600 + 31 * at}", f"{50 + at},5"] for at, s in enumerate(stations)]
    add(
        "Messwerte.csv", lambda rows: to_csv(rows, ";"), [["Station", "Temperatur", "Niederschlag", "Feuchte"], ["", "°C", "mm", "%"], *measured],
        ("Wie hoch ist die Temperatur in Helgoland?", "Helgoland", "5,2"), ("Niederschlag Fulda", "Fulda", "817"),
        ("Welche Feuchte hat Emden?", "Emden", "56,5"),
    )  # fmt: skip
    regions = ["North", "South", "East", "West", "Centre", "Islands"]
    matrix = [["Region", "2025", None, None, "2026", None, None], [None, "Q1", "Q2", "Q3", "Q1", "Q2", "Q3"],
              *([r, *(100 * at + 7 * q for q in range(6))] for at, r in enumerate(regions, 1))]  # fmt: skip
    add(
        "sales matrix.xlsx", lambda rows: to_xlsx(rows, merged=("A1:A2", "B1:D1", "E1:G1")), matrix,
        ("What were the sales of the Islands in 2026 Q2?", "Islands", "628"), ("sales East 2025 Q3", "East", "314"),
        ("Sales in the West, first quarter of 2026 (Q1)?", "West", "421"),
    )  # fmt: skip
    plants = ["Oak", "Ash", "Elm", "Fir", "Yew", "Beech", "Birch", "Maple", "Alder", "Cedar", "Larch", "Rowan"]
    traits = [f"Trait {n}" for n in range(1, 40)]
    wide = [[p, *(f"{p.lower()}{n}x{(at * 17 + n * 29) % 997}" for n in range(1, 40))] for at, p in enumerate(plants)]
    add(
        "wide plant traits.csv", to_csv, [["Plant", *traits], *wide],
        ("What is Trait 17 of the Maple?", "Maple", wide[7][17]), ("Trait 31 of Yew", "Yew", wide[4][31]),
        ("Which value has Trait 38 for the Cedar?", "Cedar", wide[9][38]), ("Birch Trait 5", "Birch", wide[6][5]),
    )  # fmt: skip
    opening = [["图书馆", "周一至周五", "9:00-21:00", "010-5551"], ["游泳馆", "周二至周日", "6:30-20:00", "010-5552"],
               ["博物馆", "周三至周日", "10:00-17:30", "010-5553"], ["体育馆", "每天", "7:00-22:00", "010-5554"],
               ["档案馆", "周一至周四", "8:30-16:00", "010-5555"], ["美术馆", "周二至周六", "11:00-18:00", "010-5556"]]  # fmt: skip
    add(
        "开放时间.xlsx", to_xlsx, [["场馆", "开放日", "开放时间", "电话"], *opening],
        ("博物馆的开放时间是几点？", "博物馆", "10:00-17:30"), ("档案馆的电话是多少？", "档案馆", "010-5555"), ("游泳馆星期几开放？", "游泳馆", "周二至周日"),
    )  # fmt: skip
    glossary = [["dog", "狗", "Hund"], ["cat", "猫", "Katze"], ["horse", "马", "Pferd"], ["sparrow", "麻雀", "Spatz"],
                ["whale", "鲸鱼", "Wal"], ["owl", "猫头鹰", "Eule"], ["bee", "蜜蜂", "Biene"], ["pike", "狗鱼", "Hecht"]]  # fmt: skip
    add(
        "animals in three languages.ods", to_ods, [["English", "中文", "Deutsch"], *glossary],
        ("What is sparrow in German?", "sparrow", "Spatz"), ("How do you say whale in Chinese?", "whale", "鲸鱼"), ("owl auf Deutsch", "owl", "Eule"),
    )  # fmt: skip
    ships = [["Albatross", "Captain", "Ines Mott"], [None, "Mate", "Jorge Pell"], [None, "Cook", "Tam Okri"],
             ["Petrel", "Captain", "Una Voss"], [None, "Mate", "Lev Haas"], [None, "Cook", "Rik Sanz"],
             ["Gannet", "Captain", "Zoe Amir"], [None, "Mate", "Pol Quist"], [None, "Cook", "Bea Hill"]]  # fmt: skip
    add(
        "crews.xlsx", lambda rows: to_xlsx(rows, merged=("A2:A4", "A5:A7", "A8:A10")), [["Ship", "Role", "Name"], *ships],
        ("Who is the cook of the Petrel?", "Petrel", "Rik Sanz"), ("Who is mate on the Gannet?", "Gannet", "Pol Quist"),
        ("Who is the cook on the Albatross?", "Albatross", "Tam Okri"),
    )  # fmt: skip
    rates = [["Lantern", .15, date(2026, 3, 9), 89.9], ["Compass", .075, date(2026, 4, 1), 19.9], ["Anchor", .2, date(2026, 5, 20), 1249],
             ["Buoy", .05, date(2026, 6, 2), 64.5], ["Oar", .125, date(2026, 7, 14), 38]]  # fmt: skip
    add(
        "discounts.xlsx", lambda rows: to_xlsx(rows, {2: "0.0%", 3: "dd/mm/yyyy", 4: '#,##0.00 "EUR"'}),
        [["Product", "Discount", "Valid from", "List price"], *rates],
        ("Which discount is there on the anchor?", "Anchor", "20.0%"), ("From when is the discount on buoys valid?", "Buoy", "02/06/2026"),
        ("List price of the anchor", "Anchor", "1,249.00 EUR"),
    )  # fmt: skip
    foods = [
        "lentils",
        "oats",
        "almonds",
        "tofu",
        "salmon",
        "spinach",
        "rice",
        "honey",
        "butter",
        "yoghurt",
        "walnuts",
        "figs",
    ]
    nutrition = [[f, 50 + 13 * at, f"{at}.{at % 7} g", f"{20 - at}.3 g"] for at, f in enumerate(foods)]
    add(
        "nutrition.csv", lambda rows: to_csv(rows, "\t"), [["Food (100 g)", "kcal", "Protein", "Carbohydrates"], *nutrition],
        ("How much protein do walnuts have?", "walnuts", "10.3 g"), ("calories (kcal) of salmon", "salmon", "102"),
        ("Carbohydrates in honey per 100 g", "honey", "13.3 g"),
    )  # fmt: skip
    survey = [["Timestamp", "How satisfied are you with the canteen, all in all?", "What should the canteen offer that it does not offer yet?"],
              ["2026-02-01 09:12", "very satisfied", "more soups"], ["2026-02-01 11:47", "not satisfied", "gluten-free bread"],
              ["2026-02-02 08:05", "rather satisfied", "fresh juice in the morning"], ["2026-02-03 17:20", "neutral", "late opening on Thursdays"]]  # fmt: skip
    add(
        "canteen survey.csv", to_csv, survey,
        ("What did the answer of 2026-02-01 11:47 ask the canteen to offer?", "11:47", "gluten-free bread"),
        ("Who wants fresh juice: how satisfied is that person with the canteen?", "fresh juice", "rather satisfied"),
        ("What should the canteen offer according to the neutral answer?", "neutral", "late opening"),
    )  # fmt: skip
    log = [
        [f"2026-01-{1 + at:02d}", f"RX-{9000 + 13 * at}", ["ok", "delayed", "lost"][at % 3], f"{at * 5 + 2} kg"]
        for at in range(28)
    ]
    add(
        "shipments.csv", to_csv, [["Date", "Parcel", "State", "Weight"], *log],
        ("What happened to parcel RX-9143?", "RX-9143", "lost"), ("weight of parcel RX-9286", "RX-9286", "112 kg"),
        ("Which parcel was sent on 2026-01-20?", "2026-01-20", "RX-9247"),
    )  # fmt: skip
    titled = [["Opening balance 2026 of the sailing club"], ["as of 1 January, in euros"], [], ["Account", "Debit", "Credit"],
              ["Bank", 15230, None], ["Cash", 412, None], ["Boats", 88000, None], ["Loans", None, 61500], ["Reserves", None, 42142]]  # fmt: skip
    add(
        "balance.xlsx", to_xlsx, titled,
        ("How much cash did the sailing club have?", "Cash", "412"), ("What is the value of the boats in the opening balance?", "Boats", "88000"),
        ("credit of the reserves of the sailing club", "Reserves", "42142"),
    )  # fmt: skip
    beside = [["Room", "Seats", None, "Device", "Owner"], ["Aspen", 12, None, "Projector", "Vera"], ["Cypress", 30, None, "Camera", "Yan"],
              ["Poplar", 8, None, "Plotter", "Ugo"], ["Willow", 45, None, "Microscope", "Tove"]]  # fmt: skip
    add(
        "rooms and devices.xlsx", to_xlsx, beside,
        ("How many seats does the room Willow have?", "Willow", "45"), ("Who owns the plotter?", "Plotter", "Ugo"), ("Who is the owner of the camera?", "Camera", "Yan"),
    )  # fmt: skip
    long_cells = [["Clause", "Subject", "Text"], *(
        [f"§ {n}", subject, f"{text} " + "This is explained in the annex, which every member gets with the membership card. " * 9]
        for n, subject, text in ((1, "Fees", "The yearly fee is 84 euros."), (2, "Notice", "Notice must be given six weeks before the end of a year."),
                                 (3, "Berths", "A berth is given up when it stays empty for 100 days."), (4, "Guests", "Guests may stay for three nights free of charge.")))]  # fmt: skip
    add(
        "club rules.ods", to_ods, long_cells,
        ("How high is the yearly fee of the club?", "Fees", "84 euros"), ("How many weeks before the end of a year must notice be given?", "Notice", "six weeks"),
        ("How long may guests stay free of charge?", "Guests", "three nights"),
    )  # fmt: skip
    elements = [["Fe", "iron", 26, 1538], ["Cu", "copper", 29, 1085], ["Zn", "zinc", 30, 420], ["Pb", "lead", 82, 327], ["Sn", "tin", 50, 232],
                ["Ag", "silver", 47, 962], ["Au", "gold", 79, 1064], ["Ni", "nickel", 28, 1455], ["W", "tungsten", 74, 3422], ["Hg", "mercury", 80, -39]]  # fmt: skip
    add(
        "metals.csv", lambda rows: to_csv(rows, "|"), [["Symbol", "Metal", "Number", "Melting point °C"], *elements],
        ("At what temperature does tungsten melt?", "tungsten", "3422"), ("melting point of tin", "tin", "232"), ("atomic number of nickel", "nickel", "28"),
    )  # fmt: skip
    years = [["Country", 2022, 2023, 2024, 2025], *([c, *(round(at * 1.7 + y * .9, 1) for y in range(4))] for at, c in enumerate(
        ["Norway", "Chile", "Kenya", "Japan", "Peru", "Latvia", "Ghana", "Nepal"], 2))]  # fmt: skip
    add(
        "growth by year.ods", to_ods, years,
        ("What was the growth of Kenya in 2024?", "Kenya", "8.6"), ("growth Latvia 2022", "Latvia", "11.9"), ("Which growth did Nepal have in 2025?", "Nepal", "18"),
    )  # fmt: skip
    leave = [[f"Grade {g}", days, notice, bonus] for g, days, notice, bonus in (
        ("A", "25 days", "1 month", "none"), ("B", "27 days", "6 weeks", "2 %"), ("C", "28 days", "2 months", "4 %"),
        ("D", "30 days", "3 months", "7 %"), ("E", "33 days", "6 months", "11 %"))]  # fmt: skip
    add(
        "leave.xlsx", to_xlsxwriter, [["Grade", "Annual leave", "Notice period", "Bonus"], *leave],
        ("How many days of annual leave does grade D get?", "Grade D", "30 days"), ("notice period for grade B", "Grade B", "6 weeks"), ("bonus of grade E", "Grade E", "11 %"),
    )  # fmt: skip
    boats = ["cutter", "ketch", "sloop", "yawl", "dinghy", "barge", "trawler", "launch"]
    fleet = [
        [
            f"HB-{1000 + 7 * at}",
            f"{boats[at % 8]} {stations[at % 10]}",
            f"Pier {1 + at % 23}",
            f"{400 + at * 3 % 911} EUR",
            f"{2 + at % 17} m",
        ]
        for at in range(250)
    ]
    add(
        "berths of the harbour.csv", to_csv, [["Licence", "Boat", "Pier", "Fee", "Length"], *fleet],
        ("Which fee is paid for HB-2197?", "HB-2197", fleet[171][3]), ("At which pier lies HB-2710?", "HB-2710", fleet[244][2]), ("length of HB-1007", "HB-1007", fleet[1][4]),
        ("What kind of boat is HB-1700?", "HB-1700", fleet[100][1]),
    )  # fmt: skip
    return found
