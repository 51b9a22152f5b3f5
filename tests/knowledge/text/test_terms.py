from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.text.folding import embedding_text
from services.knowledge.text.terms import query_terms, read_question, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Pond, 1987", ["the", "pond", "1987"]),
        ("GB18030", ["gb18030"]),
        ("A-12", ["a", "12", "a12"]),
        ("3.5 t", ["3", "5", "3ː5", "t"]),
        ("1,200", ["1", "200", "1200", "1ː200"]),
        ("U.S.", ["u", "s", "us"]),
        ("Darwin's Darwin\u2019s", ["darwin", "darwin"]),
        ("snake_case", ["snake", "case", "snakecase"]),
        ("naïve ＡＢＣ ﬁne", ["naive", "abc", "fine"]),
        ("Ёлка", ["елка"]),
        ("हिन्दी", ["हिन्दी"]),
        ("मेरी मरम्मत", ["मेरी", "मरम्मत"]),
        ("tiếng Việt", ["tieng", "viet"]),
        ("злой й", ["злой", "й"]),
        ("", []),
        ("— … !?", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Words and numbers become folded terms that still can be told apart."""
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中国的GB18030标准", ["中国", "国的", "的", "gb18030", "标准", "准"]),
        ("水", ["水"]),
        ("ภาษา", ["ภาษา", "ษา"]),
        ("カタカナ", ["カタ", "タカ", "カナ", "ナ"]),
        ("ｶﾀｶﾅ", ["カタ", "タカ", "カナ", "ナ"]),
        ("がが", ["がが", "が"]),
        ("한국어는", ["한국", "국어", "어는", "는"]),
        ("𠀀𠀁", ["𠀀𠀁", "𠀁"]),
    ],
)
def test_scripts_without_spaces(text: str, expected: list[str]) -> None:
    """Where nothing separates words, pairs of characters stand for them, and every character begins a term."""
    assert terms(text) == expected


def test_query_terms_leave_out_what_only_completes_an_index() -> None:
    """A query is searched for its pairs; a single character counts when it is all there is."""
    assert query_terms("中国 水 中国") == ["中国", "水"]


@given(st.text())
def test_terms_hold_nothing_that_a_query_language_knows(text: str) -> None:
    """Whatever the text, a term consists of letters, digits and marks, and is found again in itself."""
    for term in terms(text):
        assert term
        assert all(unicodedata.category(character)[0] in "LMN" for character in term)
        assert not any("A" <= character <= "Z" for character in term)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("图书馆开放时间", "圖書館開放時間"),
        ("台湾的体育馆", "臺灣的體育館"),
        ("图书", "図書"),  # Japanese
        ("ＢＯＩＬＥＲ", "boiler"),
        ("STRASSE", "Straße"),
        ("café", "cafe\u0301"),
        ("CAFE", "café"),
        ("ıstanbul", "İSTANBUL"),
        ("ofﬁce", "office"),
        ("łódź", "Lodz"),
        ("𝐁𝐨𝐢𝐥𝐞𝐫", "boiler"),
        ("مُحَمَّد", "محمد"),
        ("إسلام", "اسلام"),
        ("کتاب", "كتاب"),
        ("کتاب‌ها", "كتابها"),
        ("ہے", "هے"),
        ("محمـــد", "محمد"),
        ("ज़रूरत", "जरूरत"),
        ("पाँच", "पांच"),
        ("葛\U000e0100城", "葛城"),
        ("ｺﾝﾋﾟｭｰﾀｰ", "コンピューター"),
        ("ΟΔΟΣ", "οδός"),
        ("й", "и\u0306"),
        ("שָׁלוֹם", "שלום"),
        ("٢٠٢٦", "2026"),
        ("२०२६", "2026"),
    ],
)
def test_style_width_case_and_marks_do_not_matter(one: str, other: str) -> None:
    """What people type differently gives the same terms."""
    assert terms(one) == terms(other)


@pytest.mark.parametrize(("one", "other"), [("мой", "мои"), ("ভয", "ভয়"), ("ꪀꪱ", "ꪀ"), ("か", "が"), ("ปา", "ป่า")])
def test_other_letters_are_other_words(one: str, other: str) -> None:
    """What looks like an accent is one in Latin and Greek; elsewhere it makes another letter, vowel or tone."""
    assert terms(one) != terms(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,200.50", "1200.5"),
        ("1.200,50", "1200.5"),
        ("E-1042", "E 1042"),
        ("E1042", "E-1042"),
        ("ISO 9001:2015", "ISO-9001"),
        ("WP 22/4-B", "WP-22-4-B"),
        ("WES-5.5.4", "5.5.4"),
        ("+49 30 1234567", "+49 (30) 123 45 67"),
        ("parseHttpHeader", "parse_http_header"),
        ("HTTPServer", "http_server"),
        ("e-mail", "email"),
        ("v2.1", "V2.1"),
        ("2:30 pm", "14:30"),
    ],
)
def test_the_whole_of_a_code_is_a_term_of_its_own(one: str, other: str) -> None:
    """However a code, an amount or a name of a program is written, its whole is found by the other way to write it."""
    located, wholes = read_question(other)
    whole = {term for term, _places in located if len(term) > 2} | {each.term for each in wholes}
    parts = set(terms("1 200 50 5 1200 30 49 22 4 b 9001 iso wes http server parse header e mail v2 pm 123 45 67 2"))
    assert (whole - parts) & set(terms(one))


@pytest.mark.parametrize(
    ("one", "other"), [("5.4.5", "5.45"), ("5.4.5", "5.5.4"), ("3.1", "3.10"), ("10.0.1.1", "10.0.11")]
)
def test_other_codes_have_other_wholes(one: str, other: str) -> None:
    """The digits alone do not make the same code."""
    _located, wholes = read_question(one)
    assert wholes
    assert not {whole.term for whole in wholes} & set(terms(other))


SAME_DAY = [
    "2026-03-09",
    "2026/3/9",
    "9 March 2026",
    "March 9, 2026",
    "March 9th, 2026",
    "9 Mar 2026",
    "the 9th of March 2026",
    "9.3.2026",
    "09.03.2026",
    "09/03/2026",
    "3/9/2026",
    "2026年3月9日",
    "会议于２０２６年３月９日召开",
    "9. März 2026",
    "9 mars 2026",
    "9 de marzo de 2026",
    "9 marzo 2026",
    "9 de março de 2026",
    "9 maart 2026",
    "9 mart 2026",
    "9 marca 2026",
    "9 марта 2026",
    "2026년 3월 9일",
]


@pytest.mark.parametrize("text", SAME_DAY)
def test_a_date_is_one_term_however_it_is_written(text: str) -> None:
    """Asked in any form, found in any form."""
    assert "d20260309" in terms(text)
    assert "d20260309" in {whole.term for whole in read_question(text)[1]}


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("March 2026", "m202603"),
        ("im März 2026", "m202603"),
        ("2026-03", "m202603"),
        ("2026年3月", "m202603"),
        ("3月9日", "md0309"),
    ],
)
def test_a_month_is_in_the_days_of_it(text: str, term: str) -> None:
    """A question for a month or a day of the year finds dates."""
    assert term in terms("2026-03-09")
    assert term in {whole.term for whole in read_question(text)[1]}


@pytest.mark.parametrize("text", ["May I go in 2015?", "2026-13-09", "5.4.2", "march on", "40/50/60"])
def test_what_is_no_date_is_none(text: str) -> None:
    """Words like may and march, versions and rows of numbers give no dates."""
    assert not [term for term in terms(text) if len(term) > 5 and term[0] in "dm" and term.strip("dm").isdecimal()]


def test_the_embedder_reads_letters_in_their_usual_width() -> None:
    """Full-width letters and ligatures are undone, Chinese punctuation, accents and case stay."""
    assert embedding_text("ＢＯＩＬＥＲ １２，水！ ﬁne Café") == "BOILER 12，水！ fine Café"
    assert embedding_text("图书馆？") == "图书馆？"


def test_long_runs_are_cut() -> None:
    """Encoded data in a text does not become terms of any length."""
    assert max(map(len, terms("ab" * 5000))) <= 64


def test_import_is_light() -> None:
    """The parser's child process can use it without paying for numpy, a database or a model."""
    code = "import sys, services.knowledge.text.terms; print({'numpy', 'sqlalchemy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
