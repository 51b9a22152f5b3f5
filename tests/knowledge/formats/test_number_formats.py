from __future__ import annotations

import pytest

from services.knowledge.formats.sheets.number_formats import BUILTIN, number_format
from services.knowledge.formats.sheets.serial_dates import moment

# Format, number, and what LibreOffice 7.4 shows (its export as CSV).
SHOWN = [
    ("0%", 0.15, "15%"),
    ("0.0%", 0.075, "7.5%"),
    ("00000", 741, "00741"),
    ('#,##0.00 "EUR"', 1234567.891, "1,234,567.89 EUR"),
    ("#,##0", 1234567.5, "1,234,568"),
    ("#,##0", -1234.4, "-1,234"),
    ("0.00", -0.001, "0.00"),
    ("0", 2.5, "3"),
    ("0.0", 0.25, "0.3"),
    ("dd/mm/yyyy", 46090, "09/03/2026"),
    ("yyyy-mm-dd", 46090.5, "2026-03-09"),
    ("d mmmm yyyy", 46090, "9 March 2026"),
    ("ddd d mmm yy", 46090, "Mon 9 Mar 26"),
    ("dddd, d. mmmm yyyy", 46090, "Monday, 9. March 2026"),
    ("h:mm", 0.3125, "7:30"),
    ("h:mm AM/PM", 0.8125, "7:30 PM"),
    ("[h]:mm", 1.5, "36:00"),
    ("[h]:mm:ss", 2.25, "54:00:00"),
    ("[mm]:ss", 0.05, "72:00"),
    ("mm:ss.0", 0.001, "01:26.4"),
    ("hh:mm:ss.000", 0.123456789, "02:57:46.667"),
    ("yyyy/m/d h:mm", 46090.75, "2026/3/9 18:00"),
    ("m/d/yyyy", 46090, "3/9/2026"),
    ("# ?/?", 1.75, "1 3/4"),
    ("# ??/??", 0.333333, "1/3"),
    ("# ?/8", 2.3, "2 2/8"),
    ("?/?", 1.5, "3/2"),
    ("0.00E+00", 123456, "1.23E+05"),
    ("##0.0E+0", 123456, "123.5E+3"),
    ("0E+0", 0.00012, "1E-4"),
    ("#,##0.00;[Red]-#,##0.00", -1234.5, "-1,234.50"),
    ("#,##0_);(#,##0)", -1234, "(1,234)"),
    ('0;-0;"zero"', 0, "zero"),
    ("0.00;(0.00);-", 0, "-"),
    ('"+"0;"-"0;0', -7, "-7"),
    ('[>=1000]0.0,"k";0', 2500, "2.5k"),
    ('[>=1000]0.0,"k";0', 250, "250"),
    ('0.0,,"M"', 12345678, "12.3M"),
    ("[$€-407] #,##0.00", 99.9, "€ 99.90"),
    ("#,##0.00 [$€-407]", 1234.5, "1,234.50 €"),
    ("[$$-409]#,##0.00", 12.5, "$12.50"),
    ("[$-407]d. mmmm yyyy", 46090, "9. März 2026"),
    ("[$-40C]dddd d mmmm yyyy", 46090, "lundi 9 mars 2026"),
    ('[$-804]yyyy"年"m"月"d"日"', 46090, "2026年3月9日"),
    ('yyyy"年"m"月"d"日";@', 46090, "2026年3月9日"),
    ("000-00-0000", 123456789, "123-45-6789"),
    ("(000) 000-0000", 5551234567, "(555) 123-4567"),
    ("0000 0000", 12345678, "1234 5678"),
    ('"No. "0', 12, "No. 12"),
    ('0" kg"', 12.4, "12 kg"),
    ("0.##", 12.5, "12.5"),
    ("0.##", 12, "12"),
    ("#.##", 0.5, ".5"),
    ("???.??", 1.5, "1.5"),
    ('0 "°C"', -3, "-3 °C"),
    ('0.0"%"', 12.34, "12.3%"),
    ("\\#0", 5, "#5"),
    ("General", 1234.5678, "1234.5678"),
    ("General", 0.30000000000000004, "0.3"),
    ("General", 4006381333931, "4006381333931"),
    ("General", 1.5e-12, "1.5E-12"),
    ("General", -0.5, "-0.5"),
    ("@", 12, "12"),
    ('General" units"', 5, "5 units"),
    ("0.00", 1.005, "1.01"),
    ("0.00", 2.675, "2.68"),
    ("#,##0.0##", 1234.5, "1,234.5"),
    ("0,0", 1234, "1,234"),
    ("_-* #,##0.00 €_-", 1234.5, "1,234.50 €"),
    ('#,##0.00\\ "kr"', 10, "10.00 kr"),
    ("mmm-yy", 46090, "Mar-26"),
    ("mmmmm", 46090, "M"),
    ("yy", 46090, "26"),
    ("yyyy-mm-dd", 61, "1900-03-01"),
    ("s.00", 0.00012, "10.37"),
    ("h:mm:ss", 0.99999, "23:59:59"),
    ("[hh]:mm", 0.25, "06:00"),
    ("[s]", 0.01, "864"),
    ("dd.mm.yyyy hh:mm", 46090.25, "09.03.2026 06:00"),
    ("#", 0, ""),
    ("#,###", 0, ""),
    ("0.0%;-0.0%;0%", -0.123, "-12.3%"),
    ("0000", -12, "-0012"),
    ("0.000%", 0.0001, "0.010%"),
    ("##0.00E+00", 0.0012345, "1.23E-03"),
]


@pytest.mark.parametrize(("code", "value", "shown"), SHOWN)
def test_a_number_is_shown_as_a_spreadsheet_shows_it(code: str, value: float, shown: str) -> None:
    """Percentages, leading zeros, dates, durations, fractions, currencies, scaled and conditional formats."""
    assert number_format("" if code == "General" else code).number(value) == shown


def test_numbers_without_a_format_keep_their_digits() -> None:
    """An article number of 13 digits is not rounded to 4.00638E+12; noise behind the tenth digit is dropped."""
    general = number_format("")
    assert general.number(4006381333931) == "4006381333931"
    assert general.number(1 / 3) == "0.333333333"
    assert general.number(1e20) == "1E+20"
    assert general.number(-0.0) == "0"


def test_dates_that_follow_the_reader_are_written_in_one_way() -> None:
    """Built-in date formats look different on each computer: they are written as ISO 8601 has them."""
    assert number_format(BUILTIN[14]).number(46090) == "2026-03-09"
    assert number_format(BUILTIN[22]).number(46090.3125) == "2026-03-09 07:30"
    assert number_format("[$-F800]dddd, mmmm dd, yyyy").number(46090) == "2026-03-09"
    assert number_format("yyyy-mm-dd").number(44628, date1904=True) == "2026-03-09"
    assert number_format("yyyy-mm-dd").number(59) == "1900-02-28"


def test_what_is_no_date_is_shown_as_a_number() -> None:
    """A negative date, one behind the year 9999, and a broken format leave the number."""
    assert number_format("yyyy-mm-dd").number(-3) == "-3"
    assert number_format("yyyy-mm-dd").number(5_000_000) == "5000000"
    assert moment(5_000_000) is None
    for code in ("[", '"open', ";;;", "\\", "0;;", "General;", "[>", "#/#", "E+", "[$-", "@@", "*"):
        assert isinstance(number_format(code).number(12.5), str)


def test_a_format_may_put_words_around_a_text() -> None:
    """The part for texts keeps the text; formats for numbers alone leave it as it is."""
    assert number_format('0;0;0;"No. "@').text("7a") == "No. 7a"
    assert number_format("0.00").text("n/a") == "n/a"
