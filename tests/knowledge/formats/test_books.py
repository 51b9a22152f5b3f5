from __future__ import annotations

import pytest

from services.core.errors import BadInputError
from services.knowledge.notes import notes_of
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import Parse

OPF = "http://www.idpf.org/2007/opf"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def chapter(body: str, encoding: str = "utf-8") -> bytes:
    page = f'<?xml version="1.0" encoding="{encoding}"?><html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    return page.encode(encoding)


def book(package: str, parts: dict[str, bytes | str]) -> bytes:
    return samples.zipped(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER, "OEBPS/content.opf": package, **parts}
    )


def package(items: dict[str, str], spine: list[str], more: str = "", prefix: str = "") -> str:
    at, space = (f"{prefix}:", f":{prefix}") if prefix else ("", "")
    listed = "".join(
        f'<{at}item id="{key}" href="{href}" media-type="application/xhtml+xml"/>' for key, href in items.items()
    )
    order = "".join(f'<{at}itemref idref="{key}"/>' for key in spine)
    return (
        f'<?xml version="1.0"?><{at}package xmlns{space}="{OPF}" version="2.0"><{at}metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Mills & ponds</dc:title><dc:creator>Ada</dc:creator>'
        f"</{at}metadata><{at}manifest>{listed}{more}</{at}manifest><{at}spine>{order}</{at}spine></{at}package>"
    )


@pytest.mark.parametrize("prefix", ["", "opf", "x"])
def test_chapters_come_in_the_order_of_the_spine(parse: Parse, prefix: str) -> None:
    """Whatever prefix the package file has, however paths are written, in any encoding; a missing file is noted."""
    data = book(
        package(
            {"b": "two%20parts/b.xhtml", "a": "./text/../a.xhtml", "c": "C.xhtml#part", "gone": "gone.xhtml"},
            ["a", "b", "gone", "c"],
            prefix=prefix,
        ),
        {
            "OEBPS/two parts/b.xhtml": chapter("<h1>Second</h1><p>Mühle</p>", "iso-8859-1"),
            "OEBPS/a.xhtml": chapter(
                "<h1>First</h1><p>The tortoise.</p><aside hidden='' epub:type='footnote'>Aside.</aside>"
            ),
            "OEBPS/c.xhtml": chapter("<h1>Third</h1><p>水泵</p>", "utf-16"),
        },
    )
    found = parse(data, "book.epub")
    assert [section.text for section in found.sections] == [
        "Mills & ponds\n\nAda",
        "First\n\nThe tortoise.\n\nAside.",
        "Second\n\nMühle",
        "Third\n\n水泵",
    ]
    assert [(note.kind.value, note.place) for note in notes_of(found.notes)] == [("damaged_parts", "gone.xhtml")]


def test_the_table_of_contents_names_chapters_without_a_heading(parse: Parse) -> None:
    """It is no chapter itself: it would repeat every heading."""
    nav = chapter(
        '<nav><ol><li><a href="a.xhtml">The tortoise</a></li><li><a href="b.xhtml">The hare</a></li></ol></nav>'
    )
    ncx = (
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>The tortoise</text>'
        '</navLabel><content src="a.xhtml#top"/></navPoint></navMap></ncx>'
    )
    pages = {"OEBPS/a.xhtml": chapter("<p>Slow.</p>"), "OEBPS/b.xhtml": chapter("<h2>Its own</h2><p>Quick.</p>")}
    items = {"a": "a.xhtml", "b": "b.xhtml"}
    third = package(items, ["n", "a", "b"], '<item id="n" href="nav.xhtml" properties="nav"/>')
    second = package(items, ["a", "b"], '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
    for data in (book(third, {**pages, "OEBPS/nav.xhtml": nav}), book(second, {**pages, "OEBPS/toc.ncx": ncx})):
        assert [section.text for section in parse(data, "book.epub").sections][1:] == [
            "The tortoise\n\nSlow.",
            "Its own\n\nQuick.",
        ]


def encryption(method: str, part: str) -> str:
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
        f'<enc:EncryptedData><enc:EncryptionMethod Algorithm="{method}"/><enc:CipherData>'
        f'<enc:CipherReference URI="{part}"/></enc:CipherData></enc:EncryptedData></encryption>'
    )


def test_an_encrypted_book_is_refused_a_disguised_font_is_not(parse: Parse) -> None:
    """What cannot be read is said to be protected; many books disguise their fonts and are plain otherwise."""
    page = package({"a": "a.xhtml"}, ["a"])
    aes, fonts = "http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.idpf.org/2008/embedding"
    locked = {"META-INF/rights.xml": "<rights/>", "META-INF/encryption.xml": encryption(aes, "OEBPS/a.xhtml")}
    with pytest.raises(BadInputError, match="protected"):
        parse(book(page, {**locked, "OEBPS/a.xhtml": bytes(range(256)) * 4}), "book.epub")
    licence = {"META-INF/rights.xml": "<rights/>", "OEBPS/a.xhtml": b"\x81\x92" * 4000}
    with pytest.raises(BadInputError, match="protected"):
        parse(book(page, licence), "book.epub")
    plain = {"OEBPS/a.xhtml": chapter("<p>Slow.</p>"), "META-INF/encryption.xml": encryption(fonts, "OEBPS/f.otf")}
    assert "Slow." in parse(book(page, plain), "book.epub").sections[-1].text


def test_a_book_without_its_lists(parse: Parse) -> None:
    """Chapters are found without a container or spine; a book without chapters is refused."""
    pages = {
        "a.xhtml": chapter("<p>Slow.</p>"),
        "META-INF/container.xml": "<container/>",
        "mimetype": "application/epub+zip",
    }
    assert "Slow." in parse(samples.zipped(pages), "book.epub").sections[-1].text
    with pytest.raises(BadInputError, match="no chapter"):
        parse(
            samples.zipped({"META-INF/container.xml": "<container/>", "mimetype": "application/epub+zip"}), "book.epub"
        )
