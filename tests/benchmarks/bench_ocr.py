"""Text recognition: characters right on rendered pages, seconds a page, memory of its process.

Pages are XQuAD paragraphs in fonts of Debian's packages (fonts-liberation2, fonts-wqy-zenhei, fonts-arphic-uming,
fonts-noto-cjk; others are found where `OCR_FONTS` says), drawn at 150 and 200 dpi, half of them askew by half a degree,
and saved as JPEGs of middling quality, as scanners do. They go through the parser's child and the process that
recognises text, as an upload does; white space does not count.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

from services.knowledge.parsing.pool import ParserPool
from tests.benchmarks.server import paragraphs
from tests.benchmarks.table import Row
from tests.knowledge.parsing.pools import pool_with
from tests.knowledge.recognition.processes import recognizer
from tests.knowledge.recognition.scans import A4, pdf_of

PAGES = int(os.environ.get("OCR_PAGES", "100"))
FOLDERS = [Path(os.environ.get("OCR_FONTS", "/usr/share/fonts")), Path("/usr/share/fonts")]
FONTS = {
    "en": ("LiberationSerif-Regular.ttf", "LiberationSans-Regular.ttf", "DejaVuSerif.ttf"),
    "zh": ("wqy-zenhei.ttc", "uming.ttc", "NotoSerifCJK-Regular.ttc"),
}
POINTS = (9.5, 10.5, 12)
DPI = (150, 200)


class Page(NamedTuple):
    language: str
    dpi: int
    picture: Image.Image
    text: str


def fonts(language: str) -> list[str]:
    found = [next((str(path) for each in FOLDERS for path in each.rglob(name)), "") for name in FONTS[language]]
    found = [path for path in found if path]
    if not found:
        raise SystemExit(f"no font for {language}: install {', '.join(FONTS[language])}, or set OCR_FONTS")
    return found


def pages() -> Iterator[Page]:
    """Yield pages of both languages and resolutions in turn."""
    for number in range(PAGES):
        language, dpi = ("en", "zh")[number % 2], DPI[number // 2 % 2]
        names = fonts(language)
        font = ImageFont.truetype(names[number // 4 % len(names)], round(POINTS[number // 3 % 3] * dpi / 72))
        texts = paragraphs(language)
        first = number * 7 % (len(texts) - 8)
        picture, text = set_page(texts[first : first + 8], font, dpi)
        if number % 4 >= 2:
            picture = picture.rotate(0.5, fillcolor=255, resample=Image.Resampling.BICUBIC)
        yield Page(language, dpi, picture, text)


def set_page(texts: list[str], font: ImageFont.FreeTypeFont, dpi: int) -> tuple[Image.Image, str]:
    """Return a page with as many paragraphs as fit, and its text."""
    sheet = Image.new("L", (round(A4[0] * dpi), round(A4[1] * dpi)), 255)
    draw = ImageDraw.Draw(sheet)
    margin, top = 0.9 * dpi, 0.9 * dpi
    lines: list[str] = []
    for text in texts:
        for line in broken(text, font, sheet.width - 2 * margin):
            if top > sheet.height - 1.1 * dpi:
                return sheet, "\n".join(lines)
            draw.text((margin, top), line, font=font, fill=0)
            lines.append(line)
            top += font.size * 1.5
        top += font.size * 0.8
    return sheet, "\n".join(lines)


def broken(text: str, font: ImageFont.FreeTypeFont, width: float) -> Iterator[str]:
    """Yield lines of a text: broken at blanks, and anywhere between Chinese characters."""
    line = ""
    word = ""
    for character in text + " ":
        if character.isascii() and character != " ":
            word += character
            continue
        for piece in (word, character):
            if line and font.getlength((line + piece).rstrip()) > width:
                yield line.rstrip()
                line = piece.lstrip()
            else:
                line += piece
        word = ""
    if line.strip():
        yield line.rstrip()


def plain(text: str) -> str:
    return "".join(text.split())


def read(pool: ParserPool, page: Page, folder: Path) -> tuple[str, float]:
    """Return the text that the service reads of a page, and how long that takes in seconds."""
    scan = folder / "page.jpg"
    page.picture.save(scan, quality=80, dpi=(page.dpi, page.dpi))
    path = folder / "page.pdf"
    path.write_bytes(pdf_of(Image.open(scan)))
    started = time.monotonic()
    found = pool.parse(path, "page.pdf", chunk_tokens=200, overlap=24)
    return "\n".join(section.text for section in found.sections), time.monotonic() - started


def run() -> list[Row]:
    errors: dict[tuple[str, int], int] = defaultdict(int)
    characters: dict[tuple[str, int], int] = defaultdict(int)
    seconds: list[float] = []
    cpu = [0.0, 0.0]  # of the process that recognises text, after the first page and after the last one
    peak = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = pool_with(folder, idle_seconds=60.0)
        try:
            for number, page in enumerate(pages()):
                text, taken = read(pool, page, folder)
                wanted = plain(page.text)
                wrong = Levenshtein.distance(plain(text), wanted)
                if number:  # the first one loads the models
                    seconds.append(taken)
                key = (page.language, page.dpi)
                errors[key] += wrong
                characters[key] += len(wanted)
                process = recognizer(pool)
                peak = max(peak, _peak_bytes(process))
                cpu = [cpu[0] if number else sum(process.cpu_times()[:2]), sum(process.cpu_times()[:2])]
                print(f"{number} {key} {taken:.1f} s, {wrong} of {len(wanted)} wrong", flush=True)
        finally:
            pool.close()
    rows = []
    for language in FONTS:
        for dpi in DPI:
            key = (language, dpi)
            if characters[key]:
                right = 1 - errors[key] / characters[key]
                detail = f"{characters[key]} characters, edit distance without white space"
                rows.append(Row(f"OCR: characters right, {language}, {dpi} dpi", right, 0.985, True, detail))
    rows.append(Row("OCR: s a page", sum(seconds) / len(seconds), 4.0, False, f"{len(seconds)} pages, upload's path"))
    detail = "of one thread; what a page takes when nothing else computes"
    rows.append(Row("OCR: CPU s a page", (cpu[1] - cpu[0]) / len(seconds), None, False, detail))
    rows.append(Row("OCR: peak RSS of its process, MB", peak / 1e6, 900, False, "VmHWM, with its libraries"))
    return rows


def _peak_bytes(process: psutil.Process) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
