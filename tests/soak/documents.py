"""Real files of the kinds that people hand in, made from facts: text, Markdown, CSV, Word, PDF."""

from __future__ import annotations

import io
import random
import zipfile
from xml.sax.saxutils import escape

from tests.soak.facts import Fact, facts, text_of

KINDS = ("txt", "md", "docx", "pdf", "csv")
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)


def document(kind: str, seed: int, *, sentences: int = 24, picture_mb: float = 0.0) -> bytes:
    """Return a file; the same seed gives the same facts. `picture_mb` is for PDFs: an incompressible picture."""
    language = "zh" if seed % 3 == 0 and kind != "pdf" else "en"  # the PDF writer's own fonts have no Chinese
    found = facts(sentences, seed, language)
    if kind == "csv":
        rows = [f'{number},"{fact.sentence}",{fact.expected}' for number, fact in enumerate(found)]
        return ("number,sentence,interval\n" + "\n".join(rows)).encode()
    if kind == "docx":
        return _docx(found, seed)
    if kind == "pdf":
        return _pdf(found, seed, picture_mb)
    text = text_of(found, seed)
    if kind == "md":
        text = f"# Manual {seed}\n\n## Intervals\n\n{text}\n"
    return text.encode()


def filler(megabytes: float, seed: int) -> bytes:
    """Return a text of about `megabytes` MB: work for the embedder and the database, as a careless person gives it."""
    chance = random.Random(seed)
    size = int(megabytes * 1_000_000)
    text = text_of(facts(400, seed, "en"), seed)
    pieces, length = [], 0
    while length < size:
        piece = f"Part {chance.randrange(10**9)}. {text}\n\n"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces).encode()[:size]


def _docx(found: list[Fact], seed: int) -> bytes:
    body = "".join(
        f"<w:p><w:r><w:t>{escape(part)}</w:t></w:r></w:p>" for part in text_of(found, seed).split("\n") if part
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0" encoding="UTF-8"?><w:document {_W}><w:body>{body}</w:body></w:document>',
        )
    return stream.getvalue()


def _pdf(found: list[Fact], seed: int, picture_mb: float) -> bytes:
    from PIL import Image
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4, pageCompression=1)
    lines = [line for line in text_of(found, seed).split("\n") if line]
    for start in range(0, len(lines), 30):
        for row, line in enumerate(lines[start : start + 30]):
            canvas.drawString(50, 800 - 24 * row, line[:110])
        if picture_mb and not start:
            side = int((picture_mb * 1_000_000 / 3) ** 0.5)
            picture = Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(side * side * 3))
            canvas.drawImage(ImageReader(picture), 400, 40, 120, 120)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()
