"""Files that the browser uploads."""

from __future__ import annotations

import io
import textwrap

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

SENTENCE = "The seals of the sluice gate are inspected every fourteen weeks by the keeper of the mill."
ON_PAGE = 17
CHINESE = (
    "水磨坊手册\n\n蓄水池的水位由看守人每天早晨记录在蓝色的册子里。\n\n"
    "石磨的刻槽每九十天重新打磨一次，由来自山谷的石匠完成。\n\n面粉储存在阁楼的橡木箱中，防止受潮。\n"
)


def manual(pages: int = 40) -> bytes:
    """Return a PDF of many pages, of which one says what is asked for."""
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4)
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 12)
        text = canvas.beginText(72, 770)
        text.textLine(f"Manual of the mill, part {number}")
        text.textLine("")
        for line in range(24):
            text.textLine(f"Entry {number}.{line}: wheel number {number * 31 + line} turns on its axle of ash wood.")
        if number == ON_PAGE:
            text.textLine("")
            for line in textwrap.wrap(SENTENCE, 60):
                text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()
