"""Files that keep a parser busy, made on the spot: each of its kind differs, so that none counts as known."""

from __future__ import annotations

import random

from tests.knowledge.parsing import samples


def busy_pdf(seed: int = 0, shows: int = 60_000, pages: int = 60) -> bytes:
    """Return a PDF of less than 2 MB whose pages share a content stream that takes seconds each."""
    form = b"BT /F1 1 Tf " + b"(aaaaaaaaaaaaaaaaaaaa) Tj " * shows + b" ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + b"3 0 R " * pages + b"] /Count %d >>" % pages,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >> stream\n%s\nendstream" % (len(form), form),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data = b"%%PDF-1.4\n%% %d\n" % seed + b"".join(b"%d 0 obj %s endobj\n" % (n, o) for n, o in enumerate(objects, 1))
    return data + b"trailer << /Root 1 0 R >>\n%%EOF"


def large_text(paragraphs: int, seed: int = 0, length: int = 90) -> str:
    """Return a text with headings, of one chunk for each paragraph of so many words."""
    chance = random.Random(seed)
    words = ["river", "sentence", "mountain", "bridge", "valley", "harbour", "forest", "island", "market", "garden"]
    return "\n\n".join(
        f"# Part {seed}-{number}\n\nThis is a sentence about number {number} of {seed}: "
        + " ".join(chance.choice(words) for _word in range(length))
        + "."
        for number in range(paragraphs)
    )


def _documents(seed: int) -> dict[str, bytes]:
    """Return Office files that are more than they seem."""
    mark = samples.paragraph(f"number {seed}")
    word = samples.paragraph("w" * 10)
    whole = samples.docx(mark + word * 1000)
    nested = whole
    for _level in range(20):
        nested = samples.zipped({"word/document.xml": nested, "inner.docx": nested})
    return {
        "bomb.docx": samples.docx(mark + word * (150 * 1024 * 1024 // len(word))),
        "runs.docx": samples.docx(mark + "<w:p>" + "<w:r><w:t>w</w:t></w:r>" * 600_000 + "</w:p>"),
        "laughs.docx": samples.docx(mark + samples.paragraph("&lol9;"), prolog=samples.LAUGHS),
        "deep.docx": samples.docx(mark + "<w:tbl><w:tr><w:tc>" * 20_000 + word + "</w:tc></w:tr></w:tbl>" * 20_000),
        "nested.docx": nested,
        "cut.docx": whole[: len(whole) // 2] + b"%d" % seed,
        "rows.xlsx": samples.xlsx({f"Sheet {seed}": [[str(row), "x"] for row in range(120_000)]}),
    }


def hostile_files(seed: int) -> dict[str, bytes]:
    """Return hostile files by name, each below 4 MB: bombs, deep nesting, parsers that hang, quadratic inputs."""
    mark = b"%d " % seed
    megabyte = 1024 * 1024
    return {
        "busy.pdf": busy_pdf(seed),
        "slow.pdf": busy_pdf(seed, shows=120_000, pages=200),
        "cut.pdf": busy_pdf(seed)[: megabyte // 2],
        "noise.pdf": b"%PDF-1.7\n" + random.Random(seed).randbytes(megabyte),
        **_documents(seed),
        "deep.html": mark + b"<html><body>" + b"<div>" * 300_000 + b"deep",
        "tables.html": mark + b"<table><tr><td>" * 100_000 + b"x",
        "attributes.html": b"<html><body><p " + b"".join(b'a%d="%d" ' % (n, seed) for n in range(150_000)) + b">x</p>",
        "deep.json": b"[" * 1_500_000 + mark + b"]" * 1_500_000,
        "deep.xml": b"<?xml version='1.0'?>" + b"<a>" * 500_000 + mark,
        "deep.rtf": b"{\\rtf1 " + b"{\\b " * 400_000 + mark + b"}" * 400_000,
        "wide.csv": mark + b"1," * (3 * megabyte // 2),
        "quotes.csv": mark + b'"a,"",' * (megabyte // 2),
        "line.txt": mark + b"x" * (3 * megabyte),
        "brackets.md": mark + b"[" * megabyte + b"](" * megabyte,
        "stars.md": mark + b"*_" * (megabyte // 2),
        "marks.txt": (f"{seed} a" + "\u0301" * megabyte).encode(),
        "blank.txt": mark + b"\n" * (3 * megabyte),
        "nested.eml": b"".join(
            b"Subject: %d\nContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (seed, n, n) for n in range(3000)
        ),
        "notebook.ipynb": b'{"cells": [%s], "nbformat": 4}'
        % (b'{"cell_type": "code", "source": ["x"]},' * 60_000 + mark),
    }
