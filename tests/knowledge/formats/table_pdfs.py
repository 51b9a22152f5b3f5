"""PDFs with one table each: made here with reportlab and matplotlib, or stored, as other programs made them."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from tests.knowledge.formats.table_contents import TABLES

STORED = Path(__file__).parents[2] / "fixtures" / "documents"
# Style of the tables that reportlab makes: lines, alignment, and whether long cells are broken into lines.
_REPORTLAB: dict[str, dict[str, Any]] = {
    "mooring": {"lines": "grid"},
    "dishwasher": {"lines": ""},
    "water": {"lines": "rules", "align": "RIGHT"},
    "invoice": {"lines": "shades", "align": "RIGHT"},
    "warranty": {"lines": "", "widths": [60, 70, 190]},
    "shifts": {"lines": "grid", "align": "CENTER"},
}
_MATPLOTLIB = ("sales", "gauges")


def table_pdfs() -> dict[str, bytes]:
    """Return a PDF for each of `TABLES`."""
    found = {name: _with_reportlab(name, **style) for name, style in _REPORTLAB.items()}
    found |= {name: _with_matplotlib(name) for name in _MATPLOTLIB}
    for path in STORED.glob("table_*.pdf"):
        found[path.stem.split("_")[1]] = path.read_bytes()
    return found


def _with_reportlab(name: str, lines: str, align: str = "LEFT", widths: list[int] | None = None) -> bytes:
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    content = TABLES[name]
    font = "STSong-Light" if content.is_chinese else "Helvetica"
    if content.is_chinese:
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    style = ParagraphStyle("text", fontName=font, fontSize=10, leading=12)
    cells = [
        [Paragraph(html.escape(cell), style) if widths else cell for cell in row]
        for row in (content.header, *content.rows)
    ]
    drawn: list[Any] = [("FONT", (0, 0), (-1, -1), font, 10), ("ALIGN", (1, 0), (-1, -1), align)]
    if lines == "grid":
        drawn.append(("GRID", (0, 0), (-1, -1), 0.5, colors.black))
    if lines == "rules":
        drawn += [("LINEABOVE", (0, row), (-1, row), 0.7, colors.black) for row in (0, 1)]
        drawn.append(("LINEBELOW", (0, -1), (-1, -1), 0.7, colors.black))
    if lines == "shades":
        drawn.append(("ROWBACKGROUNDS", (0, 0), (-1, -1), [colors.white, colors.lightgrey]))
    out = io.BytesIO()
    SimpleDocTemplate(out, invariant=1).build(
        [
            Paragraph(content.title, style),
            Spacer(1, 8),
            Paragraph(html.escape(content.before), style),
            Spacer(1, 8),
            Table(cells, colWidths=widths, style=TableStyle(drawn)),
            Spacer(1, 8),
            Paragraph(html.escape(content.after), style),
        ]
    )
    return out.getvalue()


def _with_matplotlib(name: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    content = TABLES[name]
    out = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 3}):
        figure = Figure(figsize=(8, 5))
        axes = figure.add_subplot()
        axes.axis("off")
        axes.set_title(content.title)
        axes.table(cellText=content.rows, colLabels=content.header, loc="center")
        figure.savefig(out, format="pdf")
    return out.getvalue()
