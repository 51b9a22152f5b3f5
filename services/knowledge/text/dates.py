"""Dates and times within a text, each as one term that is the same however it is written.

"2026-03-09", "9 March 2026", "March 9th, 2026", "9.3.2026", "2026年3月9日" and "9 de marzo de 2026" give "d20260309",
and with it "m202603" and "md0309". "09/03/2026" is two dates, as nobody can tell which is meant. The names of months
are those of the Unicode CLDR (https://cldr.unicode.org/), folded, with their short forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_MONTHS = """
january jan januar januari enero ene gennaio gen janvier janv janeiro ocak stycznia styczen января январь янв
january leden ledna ianuarie januaris tammikuu tammikuuta
february feb februar februari febrero febbraio fevrier fevr fevereiro fev subat lutego luty февраля февраль фев
unora unor februarie helmikuu helmikuuta
march mar marz maerz maart marzo marz mars marco mrt mart marca marzec марта март
brezna brezen martie maaliskuu maaliskuuta
april apr avril avr aprile abril abr nisan kwietnia kwiecien апреля апрель апр
dubna duben aprilie huhtikuu huhtikuuta
may mai mei mayo maggio mag maio mayis maja maj мая май
kvetna kveten toukokuu toukokuuta
june jun juni juin junio giugno giu junho haziran czerwca czerwiec июня июнь июн
cervna cerven iunie kesakuu kesakuuta
july jul juli juillet juil julio luglio lug julho temmuz lipca lipiec июля июль июл
cervence cervenec iulie heinakuu heinakuuta
august aug augustus aout agosto ago agustos sierpnia sierpien августа август авг
srpna srpen augusti elokuu elokuuta
september sep sept septembre septiembre settembre setembro set eylul wrzesnia wrzesien сентября сентябрь сен сент
zari septembrie syyskuu syyskuuta
october oct oktober okt octobre octubre ottobre ott outubro out ekim pazdziernika pazdziernik октября октябрь окт
rijna rijen octombrie lokakuu lokakuuta
november nov novembre noviembre novembro kasim listopada listopad ноября ноябрь ноя
listopadu noiembrie marraskuu marraskuuta
december dec dezember dez decembre diciembre dic dicembre dezembro aralik grudnia grudzien декабря декабрь дек
prosince prosinec decembrie joulukuu joulukuuta
"""
MONTHS = {name: number // 2 + 1 for number, line in enumerate(_MONTHS.strip().splitlines()) for name in line.split()}
# Between a day and its month, or a month and its year.
_LINKS = frozenset({"of", "de", "del", "di", "do", "den", "the", "van", "thang", "nam"})
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th|er|e|a|o)?\Z")
_YEAR = re.compile(r"(?:1[0-9]|20|21)\d\d\Z")
_NUMERIC = re.compile(r"(\d{1,4})([./-])(\d{1,2})(?:\2(\d{4}|\d{1,2}))?\Z")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})\Z")
# Before and after the number of a month in Chinese, Japanese and Korean.
_YEAR_SIGNS, _MONTH_SIGNS = ("年", "년"), ("月", "월")


def find_dates(words: Sequence[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first word, word after the last, terms) of each date and time in folded words or joined runs."""
    for at, word in enumerate(words):
        if word in MONTHS:
            yield from _named(words, at)
        elif word[0].isdigit():
            if len(word) > 2 and (terms := _numeric(word)):
                yield at, at + 1, terms
            elif at + 1 < len(words):
                following = words[at + 1]
                if following in {"pm", "am", "p.m", "a.m"} and (clock := _CLOCK.match(word)):
                    hour = int(clock[1]) % 12 + (12 if following[0] == "p" else 0)
                    yield at, at + 2, [f"{hour:02}\u02d0{clock[2]}"]
                elif following[0] in _MONTH_SIGNS:
                    yield from _signed(words, at)


def _named(words: Sequence[str], at: int) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the date around the name of a month."""
    month = MONTHS[words[at]]
    first, after = at, at + 1
    day = 0
    before = at - 1
    if before >= 0 and words[before] in _LINKS:
        before -= 1
    if before >= 0 and (found := _DAY.match(words[before])):
        day, first = int(found[1]), before
    elif after < len(words) and (found := _DAY.match(words[after])):
        day, after = int(found[1]), after + 1
    link = after
    while link < len(words) and link < after + 2 and words[link] in _LINKS:
        link += 1
    year = 0
    if link < len(words) and _YEAR.match(words[link]):
        year, after = int(words[link]), link + 1
    if terms := _terms(year, month, day):
        yield first, after, terms


def _signed(words: Sequence[str], at: int) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the date around the number of a month in "2026年3月9日"."""
    if not words[at].isdecimal():
        return
    first, after, year, day = at, at + 1, 0, 0
    if at >= 2 and words[at - 1][-1] in _YEAR_SIGNS and _YEAR.match(words[at - 2]):
        year, first = int(words[at - 2]), at - 2
    if after + 1 < len(words) and words[after][-1] in _MONTH_SIGNS and words[after + 1].isdecimal():
        day, after = int(words[after + 1]), after + 2
    if terms := _terms(year, int(words[at]), day):
        yield first, after, terms


def _numeric(run: str) -> list[str]:
    found = _NUMERIC.match(run)
    if not found:
        return []
    first, sign, second, third = found[1], found[2], int(found[3]), found[4]
    if len(first) == 4:
        if not _YEAR.match(first) or (sign == "." and not third):
            return []
        return _terms(int(first), second, int(third or 0))
    if third is None or len(first) > 2 or len(third) == 1:
        return []
    year = int(third) if len(third) == 4 else 2000 + int(third) - (100 if int(third) >= 70 else 0)
    if len(third) == 4 and not _YEAR.match(third):
        return []
    readings = [_terms(year, second, int(first))]
    if sign != ".":  # with dots the day is always first
        readings.append(_terms(year, int(first), second))
    return list(dict.fromkeys(term for reading in readings for term in reading))


def _terms(year: int, month: int, day: int) -> list[str]:
    """Return the terms of a date; a 0 is not stated. none for a month alone, or for what is no date."""
    if not (1 <= month <= 12 and 0 <= day <= 31) or not (year or day):
        return []
    terms = [f"d{year:04}{month:02}{day:02}"] if year and day else []
    if day:
        terms.append(f"md{month:02}{day:02}")
    if year:
        terms.append(f"m{year:04}{month:02}")
    return terms
