from __future__ import annotations

import pytest

from services.knowledge.notes import notes_of
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.parsing.pools import Parse


def text_of(found: ParsedFile) -> str:
    return "\n\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> dict[str, int]:
    return {note.kind.value: note.count for note in notes_of(found.notes)}


def codes(text: str, encoding: str) -> bytes:
    return "".join(f"\\'{byte:02x}" for byte in text.encode(encoding)).encode()


FONTS = rb"{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fcharset%d Other;}}"
CHARSETS = {
    134: ("gbk", "年假为每年十五天。"),
    136: ("big5", "圖書館開放時間，功許蓋。"),
    128: ("cp932", "表示ソフト、営業時間。"),
    129: ("cp949", "펌프는 매일 점검"),
    204: ("cp1251", "Насос нужно проверять"),
    161: ("cp1253", "Η αντλία ελέγχεται"),
    162: ("cp1254", "Şişli ığdır"),
    177: ("cp1255", "שעות פתיחה"),
    178: ("cp1256", "ساعات العمل"),
    186: ("cp1257", "Sūknis jāpārbauda"),
    238: ("cp1250", "Pompę należy sprawdzać"),
    222: ("cp874", "เวลาเปิดทำการ"),
}


@pytest.mark.parametrize("charset", CHARSETS)
def test_code_pages(parse: Parse, charset: int) -> None:
    """Text is decoded by its font's character set, else by the document's code page; bytes may stand as they are."""
    encoding, text = CHARSETS[charset]
    by_font = rb"{\rtf1\ansi\ansicpg1252\deff0" + FONTS % charset + rb"\f0 Caf\'e9 {\f1 "
    by_font += codes(text, encoding) + rb"} end\par}"
    page = {"gbk": 936, "big5": 950}.get(encoding, encoding.removeprefix("cp"))
    by_page = rb"{\rtf1\ansi\ansicpg%s " % str(page).encode()
    by_page += codes(text, encoding) + rb"\par " + text.encode(encoding) + b"}"
    assert text_of(parse(by_font, "a.rtf")) == f"Café {text} end"
    assert text_of(parse(by_page, "a.rtf")) == f"{text}\n\n{text}"


def test_unicode_with_its_fallbacks(parse: Parse) -> None:
    """Each Unicode character replaces as many others as the document says; two halves make one character."""
    data = (
        rb"{\rtf1\ansi\u24180?\u20551 ?{\uc2\u24180\'c4\'ea\u20551 ab}{\uc0\u25991 }x \u-10179?\u-8704? "
        rb"{\upr{plain}{\*\ud{\u252 u}}}\'83\endash\~\_\emdash\{\}\\}"
    )
    assert text_of(parse(data, "a.rtf")) == "年假年假文x 😀 üƒ–\xa0-—{}\\"


def test_what_stands_beside_the_text(parse: Parse) -> None:
    """Headers, footers, notes, comments and boxes are marked and in place; what is hidden or deleted is noted."""
    data = (
        rb"{\rtf1\ansi{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}}"
        rb"{\header Quillfeather QF-1\tab Page {\field{\*\fldinst PAGE}{\fldrslt 3}} of "
        rb"{\field{\*\fldinst NUMPAGES}{\fldrslt 9}}\par}"
        rb"{\headerf Quillfeather QF-1\par}{\footer IBAN XX12 \chpgn\par}"
        rb"\pard\s1 Notice\par\pard Three months{\super\chftn{\footnote\pard{\super\chftn} Except in May.}}. Keep it."
        rb"{\*\atnid AL}{\*\atnauthor Ann Lee}\chatn{\*\annotation{\*\atnref 1}\pard Still true?}\par "
        rb"10{\super 6} {\v hidden}{\deleted gone}{\revised kept} "
        rb"{\field{\*\fldinst{HYPERLINK QmailtoQ}}{\fldrslt mail}}\par "
        rb"{\shp{\*\shpinst{\sp{\sn pib}{\sv 1}}{\shptxt\pard Boxed 7719.\par}}{\shprslt{\*\do old}}}After.\par "
        rb"{\pict\pngblip 89504e470d0a}{\*\shppict{\pict 00}}{\nonshppict{\pict 00}}"
        rb"\bin5 }{\x}Last.{\object{\*\objdata 01}{\result shown}}}"
    ).replace(b"QmailtoQ", b'"mailto:a@b.example"')
    found = parse(data, "a.rtf")
    assert text_of(found).split("\n\n") == [
        "Header: Quillfeather QF-1",
        "Notice",
        "Three months (footnote 1). Keep it.",
        "Footnote 1: Except in May.",
        "Comment by Ann Lee: Still true?",
        "10⁶ kept mail (a@b.example)",
        "After.",
        "Boxed 7719.",
        "Last.shown",
        "Footer: IBAN XX12",
    ]
    assert found.sections[-1].heading == ("Notice",)
    assert notes(found) == {"comments": 1, "hidden_text": 1, "deleted_text": 1, "pictures": 2, "embedded_files": 1}


def test_tables(parse: Parse) -> None:
    """Cells are told apart by where they end: merged ones fill what they cover, tables in cells stay in their cell."""
    three = rb"\cellx1000\cellx2000\cellx3000"
    data = (
        rb"{\rtf1\ansi\trowd\trhdr" + three + rb"\intbl Station\cell Officer\cell Shift\cell\row"
        rb"\trowd\clvmgf\cellx1000\cellx2000\cellx3000\intbl Bridge\cell Mott\par two\cell day\cell\row"
        rb"\trowd\clvmrg\cellx1010\cellx2995\intbl\cell both\cell\row"
        rb"\trowd\cellx1000\clmgf\cellx2000\clmrg\cellx3000\intbl Engine\cell old\cell\cell\row"
        rb"\trowd" + three + rb"\intbl Deck\cell{\itap2 k\nestcell v\nestcell{\*\nesttableprops\trowd\nestrow}}"
        rb"\cell x\cell\row"
        rb"\pard After.\par}"
    )
    assert text_of(parse(data, "a.rtf")) == (
        "| Station | Officer | Shift |\n| --- | --- | --- |\n| Bridge | Mott two | day |\n| Bridge | both | both |\n"
        "| Engine | old | old |\n| Deck | k, v | x |\n\nAfter."
    )


def test_a_row_that_nobody_ends(parse: Parse) -> None:
    """LibreOffice ends no row after a table within its last cell, and boxes in cells have paragraphs of their own."""
    data = (
        rb"{\rtf1\ansi\trowd\cellx1000\cellx2000\pard\intbl Key\cell\pard\intbl Value\cell\row"
        rb"\pard\trowd\cellx1000\cellx2000\pard\intbl Box\cell\pard\intbl see"
        rb"{\shp{\*\shpinst{\shptxt\pard\s25 Boxed\par\pard}}}\par\pard\intbl\itap2 n1\nestcell n2\nestcell"
        rb"{\*\nesttableprops\trowd\cellx410\cellx820\nestrow}{\nonesttables\par}\pard After.\par}"
    )
    assert text_of(parse(data, "a.rtf")).split("\n\n") == [
        "| Key | Value |\n| --- | --- |\n| Box | see n1, n2 |",
        "Boxed",
        "After.",
    ]


def test_lists(parse: Parse) -> None:
    """Numbers and bullets that the file carries for old readers are those that people see."""
    data = (
        rb"{\rtf1\ansi{\pard{\listtext\pard 1.\tab}\ilvl0 first\par}{\pard{\listtext a)\tab}\ilvl1 inner\par}"
        rb"{\pard{\pntext\f1\'b7\tab}dot\par}\pard\bullet\tab typed\par\pard 12\tab not an item\par}"
    )
    assert text_of(parse(data, "a.rtf")) == "1. first\n  a) inner\n- dot\n- typed\n\n12\tnot an item"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rb"{\rtf1 open {\b and {\i never closed", "open and never closed"),
        (rb"{\rtf1 done}} more } text", "done"),
        (rb"{\rtf1\bin99999999999 x}", None),
        (rb"{\rtf1\ansicpg99999 Caf\'e9 \u99999999 ?\'zz}", "Café"),
        (b"\xef\xbb\xbf \n{\\rtf1 marked}", "marked"),
        (b"{\\rtf1 " + b"{" * 20_000 + b"deep" + b"}" * 20_000 + b"}", "deep"),
    ],
    ids=["open", "closed twice", "endless", "nonsense", "byte order mark", "deep"],
)
def test_broken_files(parse: Parse, data: bytes, expected: str | None) -> None:
    """What can be read of a broken file is read; nothing crashes."""
    if expected is not None:
        assert expected in text_of(parse(data, "a.rtf"))
    else:
        with pytest.raises(Exception, match="no text"):
            parse(data, "a.rtf")
