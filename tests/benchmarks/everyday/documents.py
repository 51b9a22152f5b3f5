"""Everyday documents for the question set: made up, in English and Chinese, each as name and bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from tests.benchmarks.everyday.more_texts import (
    CHINESE_TABLE,
    GLOSSARY,
    HANDBOOK,
    MAIL,
    MEDICINE,
    OCR,
    PAGE,
    POLICY,
    ROUTER,
)
from tests.benchmarks.everyday.texts import (
    CODE,
    CONTRACT,
    FAQ,
    LOG,
    MANUAL,
    MINUTES,
    PRICES,
    README,
    RECIPE,
)


def report_pdf() -> bytes:
    """A report of three pages: text, a table of cells, text again."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    styles = getSampleStyleSheet()
    rows = [
        ["Site", "Energy (MWh)", "Water (m3)", "Employees"],
        ["Antwerp", "4,120", "18,300", "212"],
        ["Bilbao", "2,870", "9,450", "148"],
        ["Gdansk", "3,355", "12,080", "176"],
        ["Tampere", "1,940", "6,720", "91"],
    ]
    table = Table(rows, style=TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4, invariant=1).build(
        [
            Paragraph("Sustainability report 2025", styles["Title"]),
            Paragraph(
                "In 2025 the group reduced its emissions by 11 percent. The largest part of that came from the new "
                "heat pumps in Bilbao. The target for 2030 is a reduction of 45 percent against 2019.",
                styles["Normal"],
            ),
            PageBreak(),
            Paragraph("Consumption by site", styles["Heading1"]),
            Spacer(1, 12),
            table,
            PageBreak(),
            Paragraph("Outlook", styles["Heading1"]),
            Paragraph(
                "Solar panels will be installed in Tampere in autumn 2026. They cost 640,000 EUR and are paid for "
                "by the innovation fund.",
                styles["Normal"],
            ),
        ]
    )
    return buffer.getvalue()


def workbook(sheets: dict[str, Sequence[Sequence[object]]]) -> bytes:
    """A workbook with these rows by sheet."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


TIMETABLE: dict[str, Sequence[Sequence[object]]] = {
    "Courses": [
        ["Course", "Day", "Time", "Room", "Teacher"],
        ["Pottery", "Monday", "18:00", "A12", "Ruth Hale"],
        ["Spanish A1", "Tuesday", "17:30", "B03", "Carlos Pinto"],
        ["Spanish B2", "Thursday", "19:00", "B03", "Marta Ruiz"],
        ["Yoga", "Wednesday", "09:15", "Gym", "Anita Rao"],
        ["First aid", "Saturday", "10:00", "A07", "Red Cross"],
    ],
    "Fees": [["Course", "Fee"], ["Pottery", 145], ["Spanish A1", 98], ["Spanish B2", 110], ["Yoga", 72]],
}


def documents() -> list[tuple[str, bytes]]:
    """Return all documents of the set."""
    texts = {
        "library-faq.md": FAQ,
        "dishwasher-manual.md": MANUAL,
        "price-list.csv": PRICES,
        "minutes-may.txt": MINUTES,
        "rental-agreement.txt": CONTRACT,
        "lentil-soup.txt": RECIPE,
        "backup.log": LOG,
        "shipping.py": CODE,
        "README.md": README,
        "ferry.html": PAGE,
        "员工手册.md": HANDBOOK,
        "产品目录.csv": CHINESE_TABLE,
        "data-policy.txt": POLICY,
        "invoice-scan.txt": OCR,
        "trade-fair.txt": MAIL,
        "corvenol.md": MEDICINE,
        "路由器指南.md": ROUTER,
        "sailing-terms.md": GLOSSARY,
    }
    return [
        *((name, text.encode()) for name, text in texts.items()),
        ("sustainability-2025.pdf", report_pdf()),
        ("timetable.xlsx", workbook(TIMETABLE)),
    ]
