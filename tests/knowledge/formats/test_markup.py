"""XML, lightweight markup, subtitles, calendars and address cards through the real parser."""

from __future__ import annotations

import pytest

from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing.pools import Parse


def _text(found: ParsedFile) -> str:
    return "\n".join(section.text for section in found.sections)


def test_a_feed_has_paths_instead_of_tags(parse: Parse) -> None:
    """Titles, links, attributes and descriptions are there; the HTML that feeds hide is not."""
    items = "".join(
        f"<item><title>News {n}</title><link>http://a.test/{n}</link>"
        f"<description>&lt;p&gt;The &lt;b&gt;pump {n}&lt;/b&gt; works.&lt;/p&gt;</description></item>"
        for n in range(30)
    )
    feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Daily</title>{items}</channel></rss>'
    found = parse(feed.encode(), "feed.rss")
    assert found.media_type == "application/xml"
    text = _text(found)
    assert "| News 17 | http://a.test/17 | The pump 17 works. |" in text
    assert "title: Daily" in text
    assert "version: 2.0" in text
    assert "<" not in text


def test_docbook_keeps_its_words_and_chapters(parse: Parse) -> None:
    """Text with marks within stays one sentence; titles of chapters are the path of what follows."""
    chapters = "".join(
        f'<chapter id="c{n}"><title>Part {n}</title>'
        + f"<para>Press the <emphasis>red button {n}</emphasis> twice.</para>" * 40
        + f"<section><title>Detail {n}</title><para>Word{n} and more.</para></section></chapter>"
        for n in range(3)
    )
    found = parse(f"<book><title>Guide</title>{chapters}</book>".encode(), "guide.dbk")
    assert "Press the red button 2 twice." in _text(found)
    assert any("chapter Part 1" in section.heading and "red button 1" in section.text for section in found.sections)
    assert all(f"Word{n} and more." in _text(found) for n in range(3))


def test_configuration_is_found_by_path(parse: Parse) -> None:
    """Attributes and elements become lines with the names of what contains them."""
    found = parse(
        b'<config><db host="h1" port="5432"><pool>10</pool></db><log level="info">a.log</log></config>', "a.xml"
    )
    lines = _text(found).splitlines()
    assert {"db.host: h1", "db.port: 5432", "db.pool: 10", "log.level: info", "log: a.log"} <= set(lines)
    assert found.sections[0].heading == ("config",)


def test_words_of_a_drawing_are_read(parse: Parse) -> None:
    """Of an SVG file its texts are kept, not its paths."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg"><title>Plan</title><path d="M 0 0 L 9 9"/>'
        '<g><text x="1">Valve <tspan>A-17</tspan></text></g></svg>'
    )
    found = parse(drawing.encode(), "plan.svg")
    assert _text(found) == "Plan\nValve A-17"
    assert found.media_type == "image/svg+xml"


@pytest.mark.parametrize("name", ["a.xml", "a.txt", "noending"])
def test_entities_are_not_expanded(parse: Parse, name: str) -> None:
    """A file of entities within entities is read at once, without its structure, and says so."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom"}">' for n in range(12))
    found = parse(f"<?xml version='1.0'?><!DOCTYPE a [{entities}]><a>&e11; and words</a>".encode(), name)
    assert "and words" in _text(found)
    assert "boomboom" not in _text(found)
    assert [kind for kind, _count, _place in found.notes] == ["xml_entities"]


def test_nothing_is_fetched_for_an_xml_file(parse: Parse) -> None:
    """A system entity is not read from this machine."""
    data = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x; word</a>'
    assert "word" in _text(parse(data, "a.xml"))


def test_damaged_xml_is_read_as_text(parse: Parse) -> None:
    """All words come out, and the note says where the damage is."""
    found = parse(b"<a>\n<b>one</b>\n<c>two\n</a>", "a.xml")
    assert {"one", "two"} <= set(_text(found).split())
    assert notes_of(found.notes)[0].text == "Line 4 is not of the file's format; kept as it stands"


def test_deep_xml_is_read_as_text(parse: Parse) -> None:
    """Nesting without end loses no word."""
    assert "word" in _text(parse(b"<a>" * 20_000 + b"word" + b"</a>" * 20_000, "deep.xml"))


def test_xml_in_another_encoding(parse: Parse) -> None:
    """The prolog says what the bytes mean; without one they are UTF-8, UTF-16 has its mark."""
    text = "<a><b>Prüfung größer</b></a>"
    for prolog, encoding in (
        ('<?xml version="1.0" encoding="ISO-8859-1"?>\n', "latin-1"),
        ("", "utf-8"),
        ("", "utf-16"),
    ):
        assert "b: Prüfung größer" in _text(parse((prolog + text).encode(encoding), "a.xml"))


RST = """Guide
=====

Intro words.

Setup
-----

.. note:: Mind the gap.

Deep
~~~~
text

***********
Second part
***********

Usage
-----
end
"""
ADOC = "= Guide\n\nIntro.\n\n== Setup\n\n----\n== no heading\n----\n\n=== Deep\ntext\n"
ORG = "#+TITLE: Guide\n* Setup\nwords\n** Deep :tag:\ntext\n* TODO Next\n"
TEX = "\\documentclass{book}\n\\section{Setup {\\em now}}\\label{s}\nWords.\n\\subsection*{Deep}\ntext\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.rst", RST, [("Guide",), ("Guide", "Setup"), ("Guide", "Setup", "Deep"), ("Second part",)]),
        ("a.adoc", ADOC, [("Guide",), ("Guide", "Setup"), ("Guide", "Setup", "Deep")]),
        ("a.org", ORG, [("Setup",), ("Setup", "Deep :tag:"), ("TODO Next",)]),
        ("a.tex", TEX, [("Setup {\\em now}",), ("Setup {\\em now}", "Deep")]),
    ],
)
def test_headings_of_other_markup(parse: Parse, name: str, text: str, expected: list[tuple[str, ...]]) -> None:
    """Titles make the path as in Markdown, and every word is kept."""
    found = parse(text.encode(), name)
    headings = [section.heading for section in found.sections]
    assert [heading for heading in headings if heading][: len(expected)] == expected or name == "a.rst"
    assert {heading for heading in expected if heading != ("Second part",)} <= set(headings)
    marks = set("=-~*")
    words = [word for word in text.split() if set(word) - marks]
    assert [word for word in words if word not in _text(found)] == []


def test_subtitles_are_read_by_the_minute(parse: Parse) -> None:
    """Sentences run on over cues; the time is the place, numbers, tags and times are not in the text."""
    cues = "".join(
        f"{n + 1}\n00:{n // 6:02d}:{n % 6 * 10:02d},000 --> 00:{n // 6:02d}:{n % 6 * 10 + 9:02d},500\n"
        f"<i>The pump number {n}</i>\nneeds oil.\n\n"
        for n in range(30)
    )
    found = parse(cues.encode(), "film.srt")
    assert [section.heading for section in found.sections] == [(f"00:0{n}:00",) for n in range(5)]
    assert "The pump number 13\nneeds oil." in found.sections[2].text
    assert "-->" not in _text(found)
    assert "<i>" not in _text(found)
    vtt = "WEBVTT\n\nNOTE made by hand\n\n00:05.000 --> 00:07.000 align:start\n<v Ada>Hello there.\n"
    spoken = parse(vtt.encode(), "film.vtt")
    assert "Ada: Hello there." in _text(spoken)
    assert "NOTE made by hand" in _text(spoken)


def test_calendars_and_cards_are_read_entry_by_entry(parse: Parse) -> None:
    """Folded lines are joined, escapes undone, old encodings decoded; a picture is noted."""
    calendar = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Review\\, part 2\r\nDTSTART:20260309T090000Z\r\n"
        "DESCRIPTION:Bring the lo\r\n ng report.\\nRoom 12\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    found = parse(calendar.encode(), "a.ics")
    event = next(section for section in found.sections if section.heading == ("Review, part 2",))
    assert "DESCRIPTION: Bring the long report.\nRoom 12" in event.text
    assert "DTSTART: 20260309T090000Z" in event.text
    card = (
        "BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;J=F6rg\n"
        "FN:Joerg\nTEL;WORK:+49 30 1234\nPHOTO;ENCODING=BASE64;TYPE=JPEG:AAAABBBB\nEND:VCARD\n"
    )
    people = parse(card.encode(), "people.vcf")
    assert ": Müller, Jörg" in _text(people)
    assert "+49 30 1234" in _text(people)
    assert "AAAA" not in _text(people)
    assert [kind for kind, _count, _place in people.notes] == ["pictures"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("messages.po", 'msgid "Save"\nmsgstr "Speichern"\n'),
        ("server.log", "2026-03-09 12:00:01 ERROR pump 7: timeout\n2026-03-09 12:00:02 INFO retry\n"),
        ("scan.txt", "lnvoice N0. 4711 // t0tal: l.234,5O EUR\n| | ~ ^\nclass of 2026:\n"),
    ],
)
def test_other_texts_are_kept_as_they_stand(parse: Parse, name: str, text: str) -> None:
    """Catalogues, logs and the noise of text recognition are plain text."""
    found = parse(text.encode(), name)
    assert _text(found) == text.strip()
    assert found.media_type == "text/plain"
