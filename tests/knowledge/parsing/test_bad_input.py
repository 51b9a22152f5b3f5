from __future__ import annotations

import random
from pathlib import Path

import pytest

from services.core.errors import BadInputError, MillpondError, TimedOutError, TooLargeError
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse, pool_with

PDF = samples.pdf([["Some text that is long enough."]] * 3)
DOCX = samples.docx(samples.paragraph("Some text that is long enough.") * 50)
NOISE = random.Random(7).randbytes(20_000)
BOMB = samples.docx(samples.paragraph("&lol9;"), prolog=samples.LAUGHS)
NO_PAGES = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF"
)

BAD = {
    "empty": (b"", "a.pdf", "empty"),
    "white space": (b" \n\t \r\n", "a.txt", "no text"),
    "encrypted PDF": (samples.pdf([["Secret"]], password="x"), "a.pdf", "password"),
    "truncated PDF": (PDF[:300], "a.pdf", "damaged"),
    "PDF head and noise": (b"%PDF-1.7\n" + NOISE, "a.pdf", "damaged"),
    "PDF without pages": (
        NO_PAGES,
        "a.pdf",
        "no pages|damaged",
    ),
    "file of another computer's secrets": (
        samples.docx(samples.paragraph("&x;"), prolog='<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        "a.docx",
        "entities",
    ),
    "noise named text": (NOISE, "a.txt", "binary"),
    "noise named PDF": (NOISE, "a.pdf", "binary"),
    "noise named DOCX": (NOISE, "a.docx", "binary"),
    "noise named page": (NOISE, "a.html", "binary"),
    "noise named table": (NOISE, "a.csv", "binary"),
    "NUL bytes": (b"\x00" * 5000, "a.txt", "binary"),
    "truncated DOCX": (DOCX[: len(DOCX) // 2], "a.docx", "damaged"),
    "DOCX with a broken part": (
        samples.zipped({"[Content_Types].xml": samples.CONTENT_TYPES, "word/document.xml": NOISE}),
        "a.docx",
        "damaged",
    ),
    "archive": (samples.zipped({"readme.txt": "text"}), "a.zip", "archive"),
    "nested archive": (samples.zipped({"inner.zip": samples.zipped({"x.docx": DOCX})}), "a.docx", "other archives"),
    "empty archive": (samples.zipped({}), "a.docx", "archive"),
    "entity bomb in DOCX": (BOMB, "a.docx", "entities"),
    "entity bomb in XLSX": (
        samples.zipped({"xl/workbook.xml": f"<?xml version='1.0'?>{samples.LAUGHS}<workbook>&lol9;</workbook>"}),
        "a.xlsx",
        "entities",
    ),
    "entity bomb in EPUB": (
        samples.zipped({"META-INF/container.xml": f"<?xml version='1.0'?>{samples.LAUGHS}<c>&lol9;</c>"}),
        "a.epub",
        "entities",
    ),
    "damaged picture": (b"\x89PNG\r\n\x1a\n" + NOISE, "a.pdf", "picture is damaged"),
    "picture that moves": (b"GIF89a" + NOISE, "a.png", "a picture"),
    "old Office file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NOISE, "a.doc", "Office"),
    "program": (b"\x7fELF" + NOISE, "a.txt", "a program"),
    "page of scripts alone": (b"<html><script>alert('x')</script><style>p{}</style></html>", "a.html", "no text"),
    "workbook without cells": (samples.xlsx({"Empty": []}), "a.xlsx", "no text"),
    "table of empty cells": (b",,,\n,,,\n", "a.csv", "no text"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_clear_message(parse: Parse, case: str) -> None:
    """What is wrong is said in one sentence, what to do in another, without a path or a traceback."""
    data, name, expected = BAD[case]
    with pytest.raises(BadInputError, match=expected) as caught:
        parse(data, name)
    assert caught.value.hint
    assert not {"Traceback", "upload"} & set(caught.value.message.split())


def test_the_pool_is_none_the_worse(parse: Parse) -> None:
    """After bad files the next good one is read."""
    for data, name, _expected in (BAD["noise named DOCX"], BAD["truncated PDF"], BAD["entity bomb in DOCX"]):
        with pytest.raises(BadInputError):
            parse(data, name)
    assert parse(PDF, "good.pdf").pages == 3


def test_a_plain_entity_bomb_is_only_text(parse: Parse) -> None:
    """XML that is no document of ours is shown as it is, nothing in it is expanded."""
    found = parse((samples.LAUGHS + "<lolz>&lol9;</lolz>").encode(), "bomb.xml")
    assert sum(len(section.text) for section in found.sections) < 2000


def bomb(size_mb: int) -> bytes:
    part = samples.paragraph("w" * 10)
    return samples.docx(part * (size_mb * 1024 * 1024 // len(part)))


def test_a_document_that_unpacks_to_200_mb_is_refused(parse: Parse) -> None:
    """Its size is known before anything is unpacked."""
    data = bomb(200)
    assert len(data) < 2_000_000
    with pytest.raises(TooLargeError, match="unpacks to 200 MB") as caught:
        parse(data, "bomb.docx")
    assert caught.value.hint


def test_a_document_that_needs_too_much_memory_is_stopped(tmp_path: Path) -> None:
    """What passes for an honest size and still explodes meets the limit of memory; the child is gone with all of it."""
    path = tmp_path / "upload"
    path.write_bytes(samples.docx("<w:p>" + "<w:r><w:t>w</w:t></w:r>" * 800_000 + "</w:p>"))
    pool = pool_with(tmp_path, parser_memory_mb=256)
    try:
        with pytest.raises(TooLargeError, match="memory") as caught:
            pool.parse(path, "bomb.docx", chunk_tokens=200, overlap=0)
        assert "MILLPOND_PARSER_MEMORY_MB" in caught.value.hint
        assert len(pool.pids()) == 1
    finally:
        pool.close()


def test_a_pdf_that_keeps_the_parser_busy_is_stopped(tmp_path: Path) -> None:
    """A page that takes for ever costs its share of processor time and one failed job."""
    form = b"BT /F1 1 Tf " + b"(aaaaaaaaaaaaaaaaaaaa) Tj " * 400_000 + b" ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + b"3 0 R " * 40 + b"] /Count 40 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >> stream\n%s\nendstream" % (len(form), form),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data = b"%PDF-1.4\n" + b"".join(b"%d 0 obj %s endobj\n" % (n, o) for n, o in enumerate(objects, 1))
    path = tmp_path / "busy"
    path.write_bytes(data + b"trailer << /Root 1 0 R >>\n%%EOF")
    pool = pool_with(tmp_path, parser_cpu_seconds=1)
    try:
        with pytest.raises((TimedOutError, TooLargeError)) as caught:
            pool.parse(path, "busy.pdf", chunk_tokens=200, overlap=0)
        assert caught.value.hint
    finally:
        pool.close()


def test_too_much_text_is_refused(tmp_path: Path) -> None:
    """Text over the limit is refused, whatever format it comes in."""
    pool = pool_with(tmp_path, parser_output_mb=1)
    path = tmp_path / "upload"
    try:
        for data in (b"word " * 300_000, b"word " * 2_000_000):
            path.write_bytes(data)
            with pytest.raises(TooLargeError, match="1 MB of text"):
                pool.parse(path, "big.txt", chunk_tokens=200, overlap=0)
    finally:
        pool.close()


def test_a_table_with_too_many_cells_is_refused(parse: Parse) -> None:
    """Millions of cells are no table that people read; empty ones do not count, however many there are."""
    with pytest.raises(TooLargeError, match="cells"):
        parse(b"a\n" + b"1," * 3_100_000, "wide.csv")
    assert parse(b"a\nb\n" + b"," * 3_100_000, "empty.csv").sections[0].text.startswith("a")


def test_one_enormous_line_is_read(parse: Parse) -> None:
    """A text without a line end is no reason to fail."""
    found = parse(b"word " * 200_000, "line.txt")
    assert sum(chunk.text.count("word") for chunk in found.chunks) >= 200_000
    assert parse(b"x" * 1_000_000, "x.txt").chunks


def test_deep_nesting_is_read_or_refused(parse: Parse) -> None:
    """A page nested ten thousand levels deep does not crash anything."""
    page = b"<html><body>" + b"<div>" * 10_000 + b"deep" + b"</div>" * 10_000
    try:
        assert "deep" in parse(page, "deep.html").sections[0].text
    except MillpondError as error:
        assert error.hint  # noqa: PT017 - either outcome will do


def test_a_name_is_only_a_name(parse: Parse) -> None:
    """Names are never opened, run or trusted, whatever is in them."""
    for name in ("../../etc/passwd", "a\x00b.txt", "x" * 300, "\u202etxt.exe", "<script>.html", "\udce4.txt"):
        assert "harmless" in parse(b"harmless text", name).chunks[0].text
