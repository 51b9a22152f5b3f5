"""Which encoding a file is in: two sets of texts in 23 languages and 34 encodings, and what files declare."""

from __future__ import annotations

from collections import Counter

import pytest

from services.knowledge.formats.encoding.encoding_labels import canonical, display_name
from services.knowledge.formats.encoding.encodings import Decoded, decode, decode_page
from services.knowledge.notes import notes_of
from tests.knowledge.formats.encoded_texts import ENCODINGS, Sample, samples, text_of
from tests.knowledge.parsing.pools import Parse

GERMAN = "Die Prüfung der Schläuche erfolgt jährlich durch Herrn Größmann.\n"


Results = list[tuple[Sample, Decoded]]


@pytest.fixture(scope="module")
def results() -> dict[bool, Results]:
    """Every text, decoded; by whether its sentences were held out when detection was tuned."""
    return {
        held_out: [(sample, decode(sample.data)) for sample in samples(held_out=held_out)] for held_out in (False, True)
    }


@pytest.mark.parametrize("held_out", [False, True], ids=["tuned", "held out"])
def test_texts_in_many_encodings_are_read_or_said_to_be_guessed(results: dict[bool, Results], held_out: bool) -> None:
    """At least 98 of 100 are right, also of texts that nobody tuned for; none is wrong without a note."""
    every = results[held_out]
    wrong = [(sample, found) for sample, found in every if found.text != sample.text]
    assert len(every) >= 400
    assert len(ENCODINGS) >= 15
    assert len({sample.encoding for sample, _found in every}) >= 20
    assert len(wrong) <= 0.02 * len(every), [sample[:3] for sample, _found in wrong]
    assert [sample[:3] for sample, found in wrong if not found.guessed] == []
    unsure = sum(found.guessed for sample, found in every if found.text == sample.text)
    assert unsure <= 0.1 * len(every), "a note on everything would say nothing"


def test_no_encoding_is_bad_for_the_good_of_the_others(results: dict[bool, Results]) -> None:
    """At least 8 of 10 texts are right in every encoding."""
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sample, found in (*results[False], *results[True]):
        seen[sample.encoding] += 1
        right[sample.encoding] += found.text == sample.text
    assert {name: right[name] / seen[name] for name in seen if right[name] < 0.8 * seen[name]} == {}


def test_short_german_files_are_not_chinese(parse: Parse) -> None:
    """A letter and an accent are not taken for a Chinese character, in prose and in what Excel exports."""
    found = parse(GERMAN.encode("iso-8859-1"), "old.txt")
    assert found.sections[0].text == GERMAN.strip()
    table = "Nachname;Vorname;Ort;Straße\nMüller;Jörg;Köln;Blumenweg 3\nSchäfer;Käthe;München;Am Brückentor 9\n"
    text = parse(table.encode("cp1252"), "excel.csv").sections[0].text
    assert "Müller" in text
    assert "München" in text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("이 문서는 한국어로 작성되었습니다. 휴가는 이십 일입니다.\n", "euc-kr"),
        ("申請書は二週間前までに提出してください。\n", "euc-jp"),
        ("Žádost je třeba podat nejpozději do třiceti dnů od doručení rozhodnutí, příloha č. 5.\n", "iso-8859-2"),
    ],
)
def test_neighbours_of_that_kind(parse: Parse, text: str, encoding: str) -> None:
    """Encodings that the first guess of a library misses are read through the real parser."""
    assert parse(text.encode(encoding), "a.txt").sections[0].text == text.strip()


def test_a_guess_becomes_a_note_and_a_declared_encoding_none(parse: Parse) -> None:
    """One letter with an accent is not enough to be sure of an encoding; a byte order mark is."""
    (note,) = notes_of(parse("Caf\xe9".encode("cp1252"), "a.txt").notes)
    assert note.text == "Read as Windows-1252; the file does not say its encoding"
    for data in ("Café".encode(), "Café".encode("utf-16"), b"plain", GERMAN.encode("cp1252") * 3):
        assert list(parse(data, "a.txt").notes) == []


@pytest.mark.parametrize("label", ["iso-8859-1", "latin1", "us-ascii", "windows-1252", "ISO_8859-1", "x-cp1252"])
def test_pages_in_latin_1_have_the_signs_of_windows(parse: Parse, label: str) -> None:
    """On the web these labels mean Windows-1252: quotation marks and the euro sign, no control characters."""
    page = f'<html><head><meta charset="{label}"></head><body><p>Smart “quotes” and euro € Müller</p></body></html>'
    found = parse(page.encode("cp1252"), "page.html")
    assert found.sections[0].text == "Smart “quotes” and euro € Müller"
    assert list(found.notes) == []


def test_a_page_with_an_xml_prolog_is_read_as_it_says(parse: Parse) -> None:
    """The encoding of an XML declaration counts where there is no `meta` element."""
    page = '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html><html><head><title>Prüfplan</title></head>'
    page += "<body><p>Die Brücke in Lübeck.</p></body></html>"
    found = parse(page.encode("latin-1"), "page.html")
    assert "Die Brücke in Lübeck." in found.sections[0].text
    assert found.sections[0].heading == ("Prüfplan",)


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("gb2312", "gb18030", "龍井茶：€ 喆"),
        ("shift_jis", "cp932", "①髙橋さんの申請書"),
        ("x-sjis", "cp932", "①髙橋さんの申請書"),
        ("euc-kr", "cp949", "똠방각하 펲시콜라"),
        ("ks_c_5601-1987", "cp949", "똠방각하 펲시콜라"),
        ("big5", "big5hkscs", "香港嘅圖書館"),
        ("iso-8859-9", "cp1254", "“İstanbul” ığdır"),
        ("tis-620", "cp874", "“ราคา” วันนี้"),
        ("utf-16", "utf-8", "Grüße"),
    ],
)
def test_labels_mean_what_browsers_make_of_them(label: str, encoding: str, text: str) -> None:
    """A label stands for the largest encoding of its family."""
    page = f"<html><meta http-equiv='Content-Type' content='text/html; charset={label}'><p>{text}</p>"
    assert text in decode_page(page.encode(encoding)).text


def test_a_declaration_that_the_bytes_contradict_is_not_believed() -> None:
    """Templates say UTF-8 and editors save something else, or the other way round."""
    for label, encoding in (("utf-8", "cp1252"), ("iso-8859-1", "utf-8"), ("shift_jis", "utf-8"), ("rubbish", "utf-8")):
        page = f"<html><meta charset={label}><body>{GERMAN * 3}</body>"
        assert GERMAN in decode_page(page.encode(encoding)).text
    commented = f"<html><!-- <meta charset=koi8-r> --><meta charset=cp1252>{GERMAN}"
    assert GERMAN in decode_page(commented.encode("cp1252")).text
    marked = "<html><meta charset=iso-8859-1><p>Привет"
    assert "Привет" in decode_page(marked.encode("utf-16")).text


@pytest.mark.parametrize(
    "text",
    [
        "# -*- coding: iso-8859-2 -*-\nname = 'ěšč'\n",
        "#!/usr/bin/python\n# vim: set fileencoding=iso-8859-2 :\nname = 'ěšč'\n",
        '<?xml version="1.0" encoding="ISO-8859-2"?>\n<a>ěšč</a>\n',
        '@charset "iso-8859-2";\na::before { content: "ěšč" }\n',
        "\\documentclass{article}\n\\usepackage[latin2]{inputenc}\něšč\n",
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ISO-8859-2\\n"\n\nmsgid "a"\nmsgstr "ěšč"\n',
    ],
)
def test_files_of_text_declare_their_encoding_in_many_ways(text: str) -> None:
    """Three letters would be a guess; the declaration makes them sure."""
    found = decode(text.encode("iso-8859-2"))
    assert found.text == text
    assert not found.guessed


def test_control_characters_of_a_wrong_label_become_what_was_meant() -> None:
    """Text that was converted as ISO-8859-1 has U+0093 where a quotation mark was."""
    assert decode("Er sagte \x93nein\x94 \x96 f\xfcr 5 \x80.".encode()).text == "Er sagte “nein” – für 5 €."
    assert not any("\x80" <= character < "\xa0" for character in decode(bytes(range(0x20, 0x100)) * 3).text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("He said “no” – and left… that’s it.\n", "cp1252"),
        ("Artikel;Preis\nGlühwein;3,50 €\nKäse;2,10 €\n", "iso-8859-15"),
        ("Name;Città\nNiccolò;Forlì\nJosé;Málaga\n", "mac-roman"),
        ("The reference — see ‘Notes’ — is on page 5.\n", "gb18030"),
        ("plain line\n" * 8000 + "Größe übrig für Käse, täglich geöffnet\n", "cp1252"),
    ],
    ids=["quotes", "euro", "mac", "chinese signs", "late"],
)
def test_signs_and_late_letters_tell_an_encoding(text: str, encoding: str) -> None:
    """The euro sign, quotation marks and letters that come only after 100 KB are read as meant."""
    assert decode(text.encode(encoding)).text == text


def test_colours_of_a_terminal_are_left_out() -> None:
    """Logs hold escape sequences; nobody reads or asks for them."""
    assert decode(b"\x1b[32mINFO\x1b[0m pump started").text == "INFO pump started"


def test_damaged_characters_are_counted(parse: Parse) -> None:
    """Bytes that fit nowhere do not change the encoding of the rest, and the reader is told."""
    for text, encoding in (
        ("Größe und Maß. Übergröße. " * 200, "utf-8"),
        (text_of("zh-Hans", "long", held_out=False), "gb18030"),
        (text_of("ja", "long", held_out=True), "cp932"),
    ):
        data = text.encode(encoding)
        found = parse(data[:600] + b"\xff" + data[600:], "a.txt")
        assert [(kind, count) for kind, count, _place in found.notes] == [("damaged_characters", 1)]
        assert text[-400:].strip() in found.sections[-1].text


def test_utf_16_and_utf_32_without_a_mark() -> None:
    """Also where every byte is one of ASCII, as in Thai."""
    for text in ("วันนี้ร้านปิด", "商店今天不营业。", "Отпуск длится 28 дней.", "plain words", "مغلق اليوم"):
        for encoding in ("utf-16-le", "utf-16-be"):
            assert decode(text.encode(encoding)).text == text
    assert decode(("Größe 5 " * 9).encode("utf-32-be")).text == "Größe 5 " * 9


def test_vietnamese_of_windows_is_composed() -> None:
    """Windows-1258 writes tones as characters of their own; texts and questions have them composed."""
    text = "Chìa khóa kho nằm trong ngăn kéo bàn của trưởng ca, vui lòng không mang về nhà."
    data = "Chi\u0300a khóa kho nă\u0300m trong ngăn kéo bàn cu\u0309a trươ\u0309ng ca, "
    data += "vui lo\u0300ng không mang vê\u0300 nhà."
    assert decode(data.encode("cp1258")).text == text


def test_names_of_encodings() -> None:
    """Only encodings of text have a name here."""
    assert canonical("Latin1") == "cp1252"
    assert canonical(' "GBK" ') == "gb18030"
    assert [canonical(label) for label in ("base64", "rot13", "utf-7", "hex", "", "nonsense", "idna")] == [""] * 7
    assert display_name("cp1251") == "Windows-1251"
    assert display_name("iso8859-2") == "ISO-8859-2"
    assert display_name("koi8-u") == "KOI8-U"


def test_a_sample_is_what_it_says() -> None:
    """The texts of this test can be written in their encodings."""
    assert Sample("de", "cp1252", "short", "Größe").data == b"Gr\xf6\xdfe"
