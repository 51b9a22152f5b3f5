"""Scans made on the spot: pages of text as pictures, and PDFs of such pages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pypdfium2  # type: ignore[import-untyped]
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

# A font that comes with a package of the tests.
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
A4 = (8.27, 11.69)
LINES = (
    "The sluice gate opens at nine every morning.",
    "Boats longer than forty metres wait at berth seven.",
    "Invoices are paid within thirty days of delivery.",
    "The keeper of the lock is Margaret Holloway.",
)


def page(lines: Sequence[str] = LINES, *, dpi: int = 150, size: float = 11, top: float = 1.0) -> Image.Image:
    """Return a sheet of A4 with lines of text, in grey."""
    sheet = Image.new("L", (round(A4[0] * dpi), round(A4[1] * dpi)), 255)
    write(sheet, lines, left=dpi, top=top * dpi, points=size * dpi / 72)
    return sheet


def write(sheet: Image.Image, lines: Sequence[str], *, left: float, top: float, points: float) -> None:
    """Draw lines below each other."""
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(FONT), round(points))
    for number, line in enumerate(lines):
        draw.text((left, top + number * points * 1.6), line, font=font, fill=0)


def strip(lines: Sequence[str] = LINES[:1], *, width: int = 900) -> Image.Image:
    """Return a small picture with a few lines: quick to read."""
    sheet = Image.new("L", (width, 60 + 45 * len(lines)), 255)
    write(sheet, lines, left=30, top=30, points=26)
    return sheet


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file."""
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def pdf_of(*pages: Image.Image | str, rotation: int = 0) -> bytes:
    """Return a PDF of scans and of pages of text, of A4 or in the proportions of the picture."""
    out = io.BytesIO()
    canvas = Canvas(out)
    for each in pages:
        if isinstance(each, str):
            canvas.setPageSize((595, 842))
            canvas.drawString(72, 700, each)
        else:
            width, height = 595.0, 595.0 * each.height / each.width
            canvas.setPageSize((width, height))
            canvas.drawImage(ImageReader(each), 0, 0, width, height)
        canvas.showPage()
    canvas.save()
    return turned(out.getvalue(), rotation) if rotation else out.getvalue()


def turned(data: bytes, rotation: int) -> bytes:
    """Return a PDF whose pages are to be shown turned clockwise."""
    out = io.BytesIO()
    document = pypdfium2.PdfDocument(data)
    for sheet in document:
        sheet.set_rotation(rotation)
    document.save(out)
    document.close()
    return out.getvalue()
