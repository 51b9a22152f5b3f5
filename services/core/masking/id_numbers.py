"""Chinese identity numbers: 18 characters with a check digit, and the 15 digits of before 1999."""

from __future__ import annotations

from datetime import date

# GB/T 2260: the first two digits are the province; 8 stands for residents from Hong Kong, Macao and Taiwan, 9 for
# foreigners with permanent residence.
_PROVINCES = frozenset(
    str(code)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for code in range(first, last + 1)
)


def is_id_number(number: str) -> bool:
    """Return whether 18 characters (the last may be X) are an identity number, by region, date and check digit.

    The year of a district is not checked, as `stdnum.cn.ric.validate` does: it is that of the registration, which may
    be decades after the birth.
    """
    if len(number) != 18 or not number[:17].isdecimal():
        return False
    if number[:2] not in _PROVINCES and number[0] != "9":
        return False
    if not _is_date(number[6:10], number[10:12], number[12:14]):
        return False
    from stdnum.cn import ric

    return number[17].upper() == ric.calc_check_digit(number)


def is_old_id_number(number: str) -> bool:
    """Return whether 15 digits are an identity number of before 1999, by district and date."""
    if (
        len(number) != 15
        or number[:2] not in _PROVINCES
        or not _is_date("19" + number[6:8], number[8:10], number[10:12])
    ):
        return False
    from stdnum import numdb  # its table of districts takes 4 MB

    parts = numdb.get("cn/loc").info(number[:6])
    return len(parts) > 1 and bool(parts[1][1])


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        return 1880 <= date(int(year), int(month), int(day)).year <= date.today().year
    except ValueError:
        return False
