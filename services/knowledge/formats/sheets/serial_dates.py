"""Dates and times of spreadsheets: days since 1899-12-30, or since 1904-01-01, by the tokens of a format code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.knowledge.formats.sheets.format_codes import AM_PM, ELAPSED, Token

_LAST_SERIAL = 2_958_466  # the first day of the year 10000
_LEAP_1900 = 60  # the 29th of February 1900, which spreadsheets have and the calendar has not
_DAY_MS = 86_400_000
# Locales of [$-F800] and [$-F400]: as the reader's computer shows a date, a time.
_SYSTEM = {0xF800: "%Y-%m-%d", 0xF400: "%H:%M:%S"}
_ENGLISH = (
    "January February March April May June July August September October November December",
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
)
# Names of months and days by the primary language of a locale identifier.
_NAMES = {
    0x07: (
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    ),
    0x0A: (
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "lunes martes miércoles jueves viernes sábado domingo",
    ),
    0x0C: (
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
    ),
    0x10: (
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    ),
    0x04: (
        "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月",
        "星期一 星期二 星期三 星期四 星期五 星期六 星期日",
    ),
}
_BUDDHIST_YEARS = 543


def moment(value: float, *, date1904: bool = False, precision_ms: int = 1000) -> datetime | None:
    """Return the date and time of a serial number, rounded to `precision_ms`; None outside of the calendar."""
    if not 0 <= value < _LAST_SERIAL:
        return None
    start = datetime(1904, 1, 1) if date1904 else datetime(1899, 12, 31 if value < _LEAP_1900 else 30)
    rounded = round(value * _DAY_MS / precision_ms) * precision_ms
    try:
        return start + timedelta(milliseconds=rounded)
    except OverflowError:
        return None


def serial_of(text: str) -> float | None:
    """Return the serial number of a date and time in ISO 8601; None if it is none."""
    try:
        when = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return (when - datetime(1899, 12, 30)) / timedelta(days=1)


def date_text(tokens: Sequence[Token], value: float, locale: int, *, date1904: bool = False) -> str | None:
    """Return a serial number as date or time; None where spreadsheets show no date either."""
    elapsed = any(token.kind == ELAPSED for token in tokens)
    decimals = _second_decimals(tokens)
    when = moment(abs(value) if elapsed else value, date1904=date1904, precision_ms=10 ** (3 - decimals))
    if when is None:
        return None
    if locale in _SYSTEM:
        return when.strftime(_SYSTEM[locale])
    parts = ["-"] if elapsed and value < 0 else []
    half_days = any(token.kind == AM_PM for token in tokens)
    minutes = _minutes(tokens)
    total = round(abs(value) * _DAY_MS / 10 ** (3 - decimals)) * 10 ** (3 - decimals) // 1000
    fraction_left = decimals
    for at, token in enumerate(tokens):
        if token.kind == ELAPSED:
            unit = {"h": 3600, "m": 60, "s": 1}[token.text[0]]
            parts.append(f"{total // unit:0{len(token.text)}d}")
        elif token.kind == AM_PM:
            parts.append(_half_of_day(token.text, when))
        elif token.kind == "date":
            parts.append(_unit(token.text, when, locale, minute=at in minutes, half_days=half_days))
        elif token.kind == "digit":
            if fraction_left:
                parts.append(f"{when.microsecond // 1000:03d}"[decimals - fraction_left])
                fraction_left -= 1
        elif token.kind != "general":
            parts.append(token.text)
    return " ".join("".join(parts).split())


def _second_decimals(tokens: Sequence[Token]) -> int:
    return min(sum(token.kind == "digit" for token in tokens), 3)


def _half_of_day(text: str, when: datetime) -> str:
    first, second = text.split("/")
    return second if when.hour >= 12 else first


def _minutes(tokens: Sequence[Token]) -> set[int]:
    """Return the positions of the "m" that are minutes: those behind hours or before seconds."""
    units = [(at, token.text) for at, token in enumerate(tokens) if token.kind in {"date", ELAPSED}]
    found: set[int] = set()
    for order, (at, text) in enumerate(units):
        if text[0] != "m" or len(text) > 2:
            continue
        before = units[order - 1][1][0] if order else ""
        after = units[order + 1][1][0] if order + 1 < len(units) else ""
        if before == "h" or after == "s":
            found.add(at)
    return found


def _unit(text: str, when: datetime, locale: int, *, minute: bool, half_days: bool) -> str:  # noqa: PLR0911 - one a unit
    months, days = (names.split() for names in _NAMES.get(locale & 0xFF, _ENGLISH))
    length = len(text)
    match text[0]:
        case "y" | "e":
            return f"{when.year % 100:02d}" if text[0] == "y" and length <= 2 else f"{when.year:04d}"
        case "b":
            year = when.year + _BUDDHIST_YEARS
            return f"{year % 100:02d}" if length <= 2 else str(year)
        case "m" if minute:
            return f"{when.minute:0{length}d}"
        case "m":
            name = months[when.month - 1]
            return (
                (str(when.month), f"{when.month:02d}", _short(name, locale), name)[length - 1]
                if length < 5
                else name[0]
            )
        case "d" if length <= 2:
            return f"{when.day:0{length}d}"
        case "d" | "a":
            name = days[when.weekday()]
            return name if length >= 4 else _short(name, locale)
        case "h":
            hour = (when.hour % 12 or 12) if half_days else when.hour
            return f"{hour:0{min(length, 2)}d}"
        case "s":
            return f"{when.second:0{min(length, 2)}d}"
        case _:
            return ""  # "g": the name of an era


def _short(name: str, locale: int) -> str:
    """Return the abbreviation of a month or day: three letters, or the last character in Chinese."""
    return name if locale & 0xFF == 0x04 and name[-1] == "月" else name[-1] if locale & 0xFF == 0x04 else name[:3]
