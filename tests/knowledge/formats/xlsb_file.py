"""XLSB workbooks made record by record: no library that can be had writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.knowledge.parsing import samples

_TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    "{}</Relationships>"
)
_CONTENT_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="bin" ContentType="application/vnd.ms-excel.sheet.binary.macroEnabled.main"/>'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.bin" ContentType="application/vnd.ms-excel.worksheet"/>'
    '<Override PartName="/xl/styles.bin" ContentType="application/vnd.ms-excel.styles"/>'
    '<Override PartName="/xl/sharedStrings.bin" ContentType="application/vnd.ms-excel.sharedStrings"/></Types>'
)


def record(number: int, data: bytes = b"") -> bytes:
    """Return a record: its number and length in groups of seven bits, its data."""
    head = bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80, number >> 7])
    size, length = len(data), b""
    while True:
        group, size = size & 0x7F, size >> 7
        length += bytes([group | (0x80 if size else 0)])
        if not size:
            return head + length + data


def wide(text: str) -> bytes:
    """Return a text with its length before it."""
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def xlsb(
    rows: Sequence[Sequence[object]], formats: Sequence[str] = (), merged: Sequence[tuple[int, ...]] = ()
) -> bytes:
    """Return a workbook. A cell is a value or (value, number of its format from 1); None leaves it out."""
    strings: list[str] = []
    cells = record(129) + record(148, struct.pack("<4I", 0, len(rows) - 1, 0, 9)) + record(145)
    for at, row in enumerate(rows):
        cells += record(0, struct.pack("<IIHBBBI", at, 0, 300, 0, 0, 0, 0))
        for column, cell in enumerate(row):
            value, style = cell if isinstance(cell, tuple) else (cell, 0)
            place = struct.pack("<II", column, style)
            if isinstance(value, bool):
                cells += record(4, place + bytes([value]))
            elif isinstance(value, int):
                cells += record(2, place + struct.pack("<i", value << 2 | 2))
            elif isinstance(value, float):
                cells += record(5, place + struct.pack("<d", value))
            elif isinstance(value, str):
                strings.append(value)
                cells += record(7, place + struct.pack("<I", len(strings) - 1))
    cells += record(146) + record(177, struct.pack("<I", len(merged)))
    cells += b"".join(record(176, struct.pack("<4I", *each)) for each in merged) + record(178) + record(130)
    codes = b"".join(record(44, struct.pack("<H", 164 + at) + wide(code)) for at, code in enumerate(formats))
    style = struct.pack("<HHHHHBBHH", 0, 0, 0, 0, 0, 0, 0, 0, 1)
    used = b"".join(record(47, struct.pack("<HH", 0, 164 + at) + style[4:]) for at in range(len(formats)))
    styles = record(278) + record(615, struct.pack("<I", len(formats))) + codes + record(616)
    styles += record(617, struct.pack("<I", 1 + len(formats))) + record(47, style) + used + record(618) + record(279)
    book = record(131) + record(153, struct.pack("<II", 0, 0) + wide("")) + record(143)
    book += record(156, struct.pack("<II", 0, 1) + wide("r1") + wide("Rates")) + record(144) + record(132)
    shared = record(159, struct.pack("<II", len(strings), len(strings)))
    shared += b"".join(record(19, b"\0" + wide(text)) for text in strings) + record(160)
    relation = f'<Relationship Id="{{}}" Type="{_TYPES}/{{}}" Target="{{}}"/>'
    parts = (("r1", "worksheet", "worksheets/sheet1.bin"), ("r2", "styles", "styles.bin"))
    related = "".join(relation.format(*part) for part in (*parts, ("r3", "sharedStrings", "sharedStrings.bin")))
    return samples.zipped(
        {
            "[Content_Types].xml": _CONTENT_TYPES,
            "_rels/.rels": _RELATIONS.format(relation.format("r1", "officeDocument", "xl/workbook.bin")),
            "xl/workbook.bin": book,
            "xl/_rels/workbook.bin.rels": _RELATIONS.format(related),
            "xl/worksheets/sheet1.bin": cells,
            "xl/styles.bin": styles,
            "xl/sharedStrings.bin": shared,
        }
    )
