"""Numbers as a spreadsheet shows them, by their format code ("0.0%", "dd/mm/yyyy", "#,##0.00 [$EUR]").

The codes are those of ECMA-376 part 1, 18.8.31; XLS, XLSX and XLSB share them. Colours, widths and fill characters do
not matter for text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache

from services.knowledge.formats.sheets.format_codes import ELAPSED, TOKEN, Token, token_of
from services.knowledge.formats.sheets.serial_dates import date_text

# Formats without a code of their own. Those that follow the settings of the reader's computer are shown as ISO 8601 has
# them: 14 and 22, 27 to 36 and 50 to 58 (dates of East Asian versions).
_ISO_DATE, _ISO_TIME, _ISO_BOTH = "yyyy-mm-dd", "hh:mm:ss", "yyyy-mm-dd hh:mm"
BUILTIN = dict(
    enumerate(
        [
            *("", "0", "0.00", "#,##0", "#,##0.00", '"$"#,##0', '"$"#,##0', '"$"#,##0.00', '"$"#,##0.00'),
            *("0%", "0.00%", "0.00E+00", "# ?/?", "# ??/??", _ISO_DATE, "d-mmm-yy", "d-mmm", "mmm-yy"),
            *("h:mm AM/PM", "h:mm:ss AM/PM", "h:mm", "h:mm:ss", _ISO_BOTH, "", "", "", ""),
            *(*[_ISO_DATE] * 5, *[_ISO_TIME] * 4, _ISO_DATE),
            *("#,##0;(#,##0)", "#,##0;(#,##0)", "#,##0.00;(#,##0.00)", "#,##0.00;(#,##0.00)"),
            *("#,##0;-#,##0", '"$"#,##0', "#,##0.00", '"$"#,##0.00'),
            *("mm:ss", "[h]:mm:ss", "mm:ss.0", "##0.0E+0", "@"),
            *(*[_ISO_DATE] * 5, _ISO_TIME, _ISO_TIME, _ISO_DATE, _ISO_DATE),
        ]
    )
)
_CONDITIONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, operand: value < operand,
    "<=": lambda value, operand: value <= operand,
    ">": lambda value, operand: value > operand,
    ">=": lambda value, operand: value >= operand,
    "=": lambda value, operand: value == operand,
    "<>": lambda value, operand: value != operand,
}
_SYSTEM_DATE, _SYSTEM_TIME = 0xF800, 0xF400
_MOST_DENOMINATOR_DIGITS = 7
_GENERAL_WIDTH = 10  # digits of a number that is no integer


@dataclass(slots=True)
class _Section:
    """One of the parts of a format that semicolons separate."""

    tokens: list[Token] = field(default_factory=list)
    condition: tuple[str, float] | None = None
    locale: int = 0

    @property
    def kinds(self) -> set[str]:
        return {token.kind for token in self.tokens}


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A format code, ready to use."""

    sections: tuple[_Section, ...]

    @property
    def is_date(self) -> bool:
        """Whether it shows a date or a time."""
        return bool(self.sections) and bool(self.sections[0].kinds & {"date", ELAPSED})

    def number(self, value: float, *, date1904: bool = False) -> str:
        """Return a number as the format shows it."""
        if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - not a number
            return str(value)
        section, signed = self._section(value)
        if section is None or any(token.is_mark("@") for token in section.tokens):
            return general(value)
        if section.kinds & {"date", ELAPSED}:
            shown = date_text(section.tokens, value, section.locale, date1904=date1904)
            return general(value) if shown is None else shown
        text = _number(section.tokens, abs(value))
        negative = signed and value < 0 and re.search(r"[1-9]", text) is not None
        return " ".join(f"{'-' if negative else ''}{text}".split())

    def text(self, value: str) -> str:
        """Return a text as the format shows it: with the words around "@"."""
        last = self.sections[-1] if self.sections else None
        if last is None or not any(token.is_mark("@") for token in last.tokens):
            return value
        return "".join(value if token.is_mark("@") else token.text for token in last.tokens if token.kind != "skip")

    def _section(self, value: float) -> tuple[_Section | None, bool]:
        """Return the section for a number, and whether a negative number keeps its sign."""
        numeric = [each for each in self.sections if not any(token.is_mark("@") for token in each.tokens)]
        numeric = numeric[:3] or list(self.sections[:1])
        if not numeric:
            return None, True
        if any(each.condition for each in numeric):
            for each in numeric:
                if each.condition is None or _CONDITIONS.get(each.condition[0], _never)(value, each.condition[1]):
                    return each, True
            return numeric[-1], True
        if value < 0 and len(numeric) > 1:
            return numeric[1], False
        if value == 0 and len(numeric) > 2:
            return numeric[2], False
        return numeric[0], True


def _never(_value: float, _operand: float) -> bool:
    return False


@lru_cache(maxsize=512)
def number_format(code: str) -> NumberFormat:
    """Return the format of a code; "" and "General" show numbers as they are."""
    sections = [_Section()]
    for match in TOKEN.finditer(code.strip()):
        kind, text = match.lastgroup or "", match[0]
        section = sections[-1]
        if kind == "other" and text == ";":
            sections.append(_Section())
        elif kind in {"currency", "locale"}:
            _add_currency(section, match["currency"] or "", int(match["locale"] or "0", 16))
        elif kind == "operand":
            section.condition = (match["condition"], float(match["operand"]))
        elif kind != "bracket":  # a colour, or digits of another script
            section.tokens.append(token_of(kind, text))
    for section in sections:
        if section.kinds & {"date", ELAPSED}:
            # Points and commas in a date are literal, digits are fractions of a second.
            section.tokens = [Token("literal", one.text) if one.kind == "mark" else one for one in section.tokens]
    return NumberFormat(tuple(sections) if code.strip() else ())


def _add_currency(section: _Section, sign: str, locale: int) -> None:
    if locale & 0xFFFF == _SYSTEM_DATE:
        section.locale = _SYSTEM_DATE
    elif locale & 0xFFFF == _SYSTEM_TIME:
        section.locale = _SYSTEM_TIME
    else:
        section.locale = locale & 0xFFFF
    if sign:
        section.tokens.append(Token("literal", sign))


def general(value: float) -> str:
    """Return a number without a format: integers in full, others with the ten digits that a cell shows."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    size = abs(value)
    if size >= 1e15 or size < 1e-9:
        mantissa, _e, exponent = f"{value:.5E}".partition("E")
        return f"{mantissa.rstrip('0').rstrip('.')}E{exponent}"
    decimals = max(_GENERAL_WIDTH - len(str(int(size))), 1)
    text = f"{_rounded(value, decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(value: float, decimals: int) -> Decimal:
    """Return a number rounded as spreadsheets do, half away from zero, by its shortest decimal digits."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if exact.adjusted() + decimals > 25:
        return exact
    return exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def _number(tokens: list[Token], value: float) -> str:
    """Return a number that is not negative by the tokens of a section."""
    exact = value * 100 ** sum(token.is_mark("%") for token in tokens)
    if any(token.is_mark("/") for token in tokens) and any(token.kind == "digit" for token in tokens):
        return _fraction(tokens, exact)
    places = [at for at, token in enumerate(tokens) if token.kind == "digit"]
    if not places:
        return "".join(general(value) if token.kind == "general" else token.text for token in tokens)
    point = next((at for at, token in enumerate(tokens) if token.is_mark(".")), None)
    exponent = next((at for at, token in enumerate(tokens) if token.kind == "exponent"), None)
    end = len(tokens) if exponent is None else exponent
    whole_end = min(end if point is None else point, end)
    # Commas behind the last digit of the whole part divide by a thousand each, others separate thousands.
    last = max((at for at in places if at < whole_end), default=-1)
    if exponent is None:
        behind = last if point is None or last >= 0 else -1
        while behind + 1 < len(tokens) and tokens[behind + 1].is_mark(",") and behind >= 0:
            exact /= 1000
            behind += 1
        tail = places[-1]
        while point is not None and tail > point and tail + 1 < len(tokens) and tokens[tail + 1].is_mark(","):
            exact /= 1000
            tail += 1
    thousands = any(token.is_mark(",") and places[0] < at < last for at, token in enumerate(tokens))
    decimals = sum(1 for at in places if at >= whole_end and at < end)
    power = 0
    if exponent is not None and exact:
        digits = sum(1 for at in places if at < whole_end)
        power = Decimal(repr(exact)).adjusted()
        power -= power % digits if digits > 1 else 0
        exact = float(Decimal(repr(exact)).scaleb(-power))
        if _rounded(exact, decimals) >= 10**digits:
            power += digits
            exact /= 10**digits
    whole, _point, fraction = f"{_rounded(exact, decimals):f}".partition(".")
    parts = [*_whole(tokens[:whole_end], whole.lstrip("0"), thousands=thousands)]
    if whole_end < end:
        parts += _decimals(tokens[whole_end:end], fraction)
    if exponent is not None:
        width = sum(token.kind == "digit" for token in tokens[exponent:])
        sign = "-" if power < 0 else "+" if "+" in tokens[exponent].text else ""
        parts.append(f"E{sign}{abs(power):0{width}d}")
        parts += [token.text for token in tokens[exponent + 1 :] if token.kind == "literal" or token.text == "%"]
    return "".join(parts)


def _whole(tokens: list[Token], digits: str, *, thousands: bool) -> list[str]:
    """Return the digits before the point put into their places, from the right; the first place holds the rest."""
    places = [at for at, token in enumerate(tokens) if token.kind == "digit"]
    parts: list[str] = []
    put = 0
    for at in range(len(tokens) - 1, -1, -1):
        token = tokens[at]
        if token.kind == "digit":
            first = at == places[0]
            while True:
                digit = digits[-1] if digits else "0" if token.text == "0" else " " if token.text == "?" else ""
                if digit and thousands and put and put % 3 == 0 and digit != " ":
                    parts.append(",")
                parts.append(digit)
                put += bool(digit)
                digits = digits[:-1]
                if not (first and digits):
                    break
                token = Token("digit", "#")
        elif not token.is_mark(","):
            parts.append(token.text)
    if not places:
        parts.append(digits)
    return parts[::-1]


def _decimals(tokens: list[Token], digits: str) -> list[str]:
    """Return the point and the digits behind it; zeros at the end only where the format has them."""
    parts: list[str] = []
    kept = len(digits.rstrip("0"))
    if not kept and not any(token.text in "0?" for token in tokens if token.kind == "digit"):
        tokens = tokens[1:]  # no point without digits behind it
    at = 0
    for token in tokens:
        if token.kind == "digit":
            if at < kept or token.text == "0":
                parts.append(digits[at : at + 1] or "0")
            elif token.text == "?":
                parts.append(" ")
            at += 1
        elif not token.is_mark(","):
            parts.append(token.text)
    return parts


def _fraction(tokens: list[Token], value: float) -> str:
    """Return a number as a fraction: "1 3/4", with a denominator of the format's length or the one that it names."""
    slash = next(at for at, token in enumerate(tokens) if token.is_mark("/"))
    behind = "".join(token.text for token in tokens[slash + 1 :] if token.kind in {"digit", "literal"}).strip()
    fixed = re.match(r"\d+", behind)
    before = [token for token in tokens[:slash] if token.kind == "digit" or not token.text.strip()]
    mixed = any(token.kind == "digit" for token in before) and any(
        not token.text.strip() and any(each.kind == "digit" for each in before[:at]) for at, token in enumerate(before)
    )
    exact = Fraction(Decimal(repr(float(value))))
    whole = int(exact) if mixed else 0
    rest = exact - whole
    if fixed and int(fixed[0]):
        denominator = int(fixed[0])
        numerator = int(rest * denominator + Fraction(1, 2))
    else:
        width = min(sum(each in "?#0" for each in behind), _MOST_DENOMINATOR_DIGITS) or 1
        near = rest.limit_denominator(10**width - 1)
        numerator, denominator = near.numerator, near.denominator
    if mixed and numerator == denominator:
        whole, numerator = whole + 1, 0
    if mixed and not numerator:
        return str(whole)
    return f"{whole} {numerator}/{denominator}" if whole else f"{numerator}/{denominator}"
