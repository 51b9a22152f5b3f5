"""Formatting and escaping: numbers with units, local times, and foreign text that must not be read as Markdown.

Document text, names and questions are data. `escape` makes any text safe inside Streamlit's Markdown, labels included;
`answer_markdown` keeps the formatting and the formulas of an answer but no image, link or diagram.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import accumulate
from pathlib import PurePath
from unicodedata import east_asian_width
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from console.ui.shared.maths import Formulas
from services.core.i18n import _, localized
from services.knowledge.types import DocumentStatus, JobProgress

_NEXT_UNIT = 10_000  # from so many of a unit on the next one is used
_JOINER = "\u2060"  # word joiner: invisible, takes no space, never breaks a line
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$^=&\"'@/])")
# Streamlit turns these into icons, emoji or links after Markdown was parsed, when a backslash no longer helps.
_DIRECTIVE = re.compile(r":(?=[A-Za-z0-9_+\-/])")
_ADDRESS = re.compile(r"(?i)\b(www)(?=\.)|(?<=[A-Za-z])(?=://)|(?<=\S)(?=@\S)")
_ARROW = re.compile(r"(?<=[-<>=~])(?=[-<>=])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_BRACKETS = re.compile(r"(?<=!)(?=\[)|(?<=\])(?=[(\[:])")
_UNESCAPED = r"(?<!\\)((?:\\\\)*)"  # an even number of backslashes: they escape each other, not what follows
# A link in text; pictures are left as they are written.
_LINK = re.compile(
    r"(?<![!\\])\[(?P<text>[^\[\]\n]{1,300})\]\(\s*<?(?P<address>[^()\s<>]{1,500})>?(?:\s+[\"'(][^\n)]{0,200}[\"')])?\s*\)"
)
_CITED = re.compile(r"\\?\[(\d{1,3})\\?\](?![(:]|\[(?!\d))")


def escape(text: str) -> str:
    """Return `text` such that Streamlit's Markdown shows it as it is, and on one line.

    Control and direction characters are dropped: they can make a name look like another.
    """
    text = _CONTROL.sub("", localized(text))
    text = " ".join(text.split())
    return _escape_line(text)


def escape_block(text: str) -> str:
    """Return `text` for Markdown with its lines and paragraphs kept."""
    text = _CONTROL.sub("", localized(text).replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(f"{_escape_line(line.strip())}  " if line.strip() else "" for line in text.split("\n"))


def plain(text: str) -> str:
    """Return `text` on one line without control characters, for elements that know no Markdown (`st.text`)."""
    return " ".join(_CONTROL.sub("", localized(text)).split())


def _escape_line(text: str) -> str:
    text = _ADDRESS.sub(lambda match: match.group(0) + _JOINER, text)
    text = _ARROW.sub(_JOINER, text)
    text = _DIRECTIVE.sub(":" + _JOINER, text)
    return _SPECIAL.sub(r"\\\1", text)


def answer_markdown(text: str, citations: Collection[int] = ()) -> str:
    """Return an answer as Markdown without images, links, HTML and diagrams; `[n]` of `citations` become badges.

    A link becomes its text with the address beside it; a mark of a source that does not exist is shown as such.
    Code keeps its characters, apart from invisible ones in what would be an image or link if it were no code after all:
    what Markdown takes for code is not for a regular expression to decide.
    """
    pieces = _CODE.split(_CONTROL.sub("", text))
    return "".join(
        _inert_code(piece) if index % 2 else _inert_prose(piece, citations) for index, piece in enumerate(pieces)
    )


def _inert_code(code: str) -> str:
    code = _BRACKETS.sub(_JOINER, code)
    return "```text" + code[code.index("\n") :] if code.startswith("```") and "\n" in code else code


def _inert_prose(text: str, citations: Collection[int]) -> str:
    marks: list[str] = []
    formulas = Formulas()
    missing = _("no such source")

    def keep(match: re.Match[str]) -> str:
        if int(match.group(1)) not in citations:
            return match.group(0)
        marks.append(match.group(1))
        return f"\ue000{len(marks) - 1}\ue001"

    text = formulas.take_out(text.replace("\ue000", "").replace("\ue001", ""))
    text = _CITED.sub(keep, text)
    text = re.sub(rf"\[(\d{{1,3}}: {re.escape(missing)})\]", "\ue004\\1\ue005", text)
    text = _LINK.sub(_address_beside, text)
    text = text.replace("<", "&lt;")
    text = re.sub(r"!\[", r"!\\[", text)  # images
    text = re.sub(_UNESCAPED + r"\](?=[(\[:])", r"\1\\]", text)  # links, references, definitions of references
    text = re.sub(r"(?m)^([ ]{0,3})\[", r"\1\\[", text)
    text = _ADDRESS.sub(lambda match: match.group(0) + _JOINER, text)
    text = _DIRECTIVE.sub(":" + _JOINER, text)
    text = re.sub(_UNESCAPED + r"\$", r"\1\\$", text)  # prices
    text = re.sub("\ue000(\\d+)\ue001", lambda match: citation_badge(int(marks[int(match.group(1))])), text)
    return formulas.put_back(text.replace("\ue004", ":red-badge[").replace("\ue005", "]"))


def _address_beside(match: re.Match[str]) -> str:
    """Return a link as its text and its address: what it leads to is seen, and it leads nowhere."""
    text, address = match["text"].strip(), match["address"]
    return f"{text} ({address})" if text and text != address else address


def citation_badge(number: int) -> str:
    """Return the badge of source `number` in an answer."""
    return f":blue-badge[{number}]"  # blue is the accent in this theme


def size(count: float | None) -> str:
    """Return a number of bytes with its unit, 1 MB being 1024 * 1024 bytes; as verdicts do, in GB from 10,000 MB."""
    if count is None:
        return "–"
    value = float(count)
    for unit, least in (("B", 1024), ("KB", 1024), ("MB", _NEXT_UNIT)):
        if abs(value) < least:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:,.{0 if abs(value) >= 100 else 1}f} {unit}"
        value /= 1024
    return f"{value:.2f} GB"


def signed_size(count: int) -> str:
    """Return a change in bytes with sign and unit."""
    return ("+" if count >= 0 else "−") + size(abs(count))


@dataclass(frozen=True, slots=True)
class SizeUnit:
    """The unit that all sizes of a column have, with the digits that are shown of it."""

    name: str
    bytes: int
    digits: int

    def of(self, count: float | None) -> float | None:
        """Return a number of bytes in this unit, rounded; None for None."""
        return None if count is None else round(count / self.bytes, self.digits)

    def column(self, counts: Iterable[float | None]) -> list[float | None]:
        """Return numbers of bytes in this unit."""
        return [self.of(count) for count in counts]

    def text(self, count: float) -> str:
        """Return a number of bytes with this unit."""
        return f"{count / self.bytes:,.{self.digits}f} {self.name}"

    @property
    def number(self) -> str:
        """The format of a column of sizes."""
        return f"%.{self.digits}f"

    @property
    def change(self) -> str:
        """The format of a column of changes."""
        return f"%+.{self.digits}f"


_UNITS = (SizeUnit("B", 1, 0), SizeUnit("KB", 1024, 1), SizeUnit("MB", 1024**2, 2), SizeUnit("GB", 1024**3, 2))


def size_unit(*columns: Iterable[float | None]) -> SizeUnit:
    """Return the unit for the sizes of a column, or of columns that are read together: below 10,000 of it.

    A column in several units can neither be read down nor sorted.
    """
    largest = max((abs(count) for column in columns for count in column if count is not None), default=0)
    return next((unit for unit in _UNITS if largest < _NEXT_UNIT * unit.bytes), _UNITS[-1])


def count(number: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{number:,}"


def milliseconds(value: float | None) -> str:
    """Return a duration given in ms, in ms or s."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def minutes(seconds: float) -> str:
    """Return a duration as m:ss, or h:mm:ss."""
    whole, rest = divmod(max(0, round(seconds)), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours}:{whole:02d}:{rest:02d}" if hours else f"{whole}:{rest:02d}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago `moment` was; the date when that is more than a week. Naive times are UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = (now or datetime.now(UTC)) - moment
    if passed < timedelta(minutes=1):
        return _("just now")
    if passed < timedelta(hours=1):
        return _("{count} min ago").format(count=passed.seconds // 60)
    if passed < timedelta(days=1):
        return _("{count} h ago").format(count=passed.seconds // 3600)
    if passed < timedelta(days=7):
        return _("{count} d ago").format(count=passed.days)
    return moment.date().isoformat()


def location(page: int | None = None, sheet: str = "", heading: Iterable[str] = ()) -> str:
    """Return a location in a document as plain text: page, sheet, heading path; "" when unknown."""
    parts = []
    if page is not None:
        parts.append(_("p. {page}").format(page=page))
    if sheet:
        parts.append(_("sheet {name}").format(name=plain(sheet)))
    if path := " › ".join(plain(part) for part in heading if part.strip()):
        parts.append(path)
    return " · ".join(parts)


def shorten(text: str, limit: int) -> str:
    """Return `text` on one line in at most `limit` characters; a file name keeps its ending."""
    text = plain(text)
    if len(text) <= limit:
        return text
    suffix = PurePath(text).suffix
    if 1 < len(suffix) <= 6 and " " not in suffix:
        return text[: limit - len(suffix) - 1].rstrip() + "…" + suffix
    return text[: limit - 1].rstrip() + "…"


def cut_middle(text: str, width: int) -> str:
    """Return `text` on one line, cut in its middle to `width` columns: a name keeps its beginning and its ending.

    A Chinese character takes two columns, a Latin one takes one.
    """
    text = plain(text)
    columns = [2 if east_asian_width(character) in "WF" else 1 for character in text]
    if sum(columns) <= width:
        return text
    ending = _fitting(columns[::-1], width * 2 // 5)
    beginning = _fitting(columns, width - 1 - sum(columns[len(text) - ending :]))
    return text[:beginning].rstrip() + "…" + text[len(text) - ending :].lstrip()


def _fitting(columns: Sequence[int], width: int) -> int:
    """Return how many of the first characters fit, by the columns that each takes."""
    return sum(taken <= width for taken in accumulate(columns))


def status_label(status: DocumentStatus) -> str:
    """Return the name of a status."""
    return {
        DocumentStatus.QUEUED: _("Queued"),
        DocumentStatus.PARSING: _("Parsing"),
        DocumentStatus.EMBEDDING: _("Embedding"),
        DocumentStatus.READY: _("Ready"),
        DocumentStatus.FAILED: _("Failed"),
        DocumentStatus.CANCELLED: _("Cancelled"),
    }[status]


def progress_label(status: DocumentStatus, progress: JobProgress) -> str:
    """Return the status with the progress in units; without a total while that is unknown."""
    unit = {"page": _("page"), "chunk": _("chunk")}.get(progress.unit, progress.unit)
    if status not in {DocumentStatus.PARSING, DocumentStatus.EMBEDDING} or (progress.done <= 0 and progress.total <= 0):
        return status_label(status)
    if progress.total > 0:
        return _("{status} {unit} {done} of {total}").format(
            status=status_label(status), unit=unit, done=count(progress.done), total=count(progress.total)
        )
    return _("{status} {unit} {done}").format(status=status_label(status), unit=unit, done=count(progress.done))


def progress_share(progress: JobProgress) -> float:
    """Return the completed fraction, 0 to 1; 0 while the total is unknown."""
    return min(1.0, max(0.0, progress.done / progress.total)) if progress.total > 0 else 0.0


def local_time(time: float) -> datetime:
    """Return `time` (seconds since the epoch) in the browser's time zone, without zone, as the charts show it."""
    return datetime.fromtimestamp(time, browser_zone()).replace(tzinfo=None)


def browser_zone() -> tzinfo:
    """Return the browser's time zone, UTC where it has none that is known."""
    name = st.context.timezone
    if not name or name in {"UTC", "Etc/UTC", "GMT"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # the name comes from the browser
        return UTC


def time_of_day(time: float) -> str:
    """Return the time of day of `time` (seconds since the epoch) in the browser's time zone, with seconds."""
    return f"{local_time(time):%H:%M:%S}"
