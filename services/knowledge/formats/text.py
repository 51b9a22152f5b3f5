"""Text and Markdown files: detection of the encoding, and sections by headings.

Encodings: UTF-8, UTF-16 with and without a byte order mark, GB18030, others by statistics. Detectors fail on short
Chinese texts, so UTF-16 and GB18030 are tried first and scored by how common the decoded characters are;
charset-normalizer gets the rest.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.types import Section

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 16_384
_SAMPLE_CHARACTERS = 4_000
# Shares of a sample: least of common characters, most of characters that no text has.
_PLAUSIBLE = 0.9
_MAX_JUNK = 0.02
_WESTERN_MARKS = frozenset("“”‘’„‚–—…•€£§°«»·©®¿¡\xa0")
_CONTROLS_IN_TEXT = frozenset("\t\n\r\f\v\x1b")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
# Longer sections are split at a blank line: pages show them whole, messages carry them whole.
MAX_SECTION_CHARACTERS = 20_000
_MAX_HEADING = 400


def decode(data: bytes) -> str:
    """Return the text of a file with Unix line ends.

    Raises:
        BadInputError: it is not text in an encoding that can be detected.
    """
    text = _decoded(data)
    if text is None or _junk(text[:_SAMPLE_CHARACTERS]) > _MAX_JUNK:
        raise BadInputError(
            _("The file contains no readable text: it looks like binary data."),
            _("If it is a text, save it as UTF-8; otherwise upload it in a format that is read."),
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _decoded(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\x00" not in data[:_SAMPLE_BYTES]:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            # A few damaged bytes in a long text must not change the encoding of all of it.
            repaired = data.decode("utf-8", errors="replace")
            damaged = repaired.count("\ufffd")
            if damaged <= 3 + len(repaired) // 1000 and 10 * damaged <= sum(c > "\x7f" for c in repaired[:100_000]):
                return repaired
    return _guessed(data)


def _guessed(data: bytes) -> str | None:
    """Return the text in the likeliest encoding other than UTF-8, None if none is plausible."""
    score, encoding = max((_plausibility(data, name), name) for name in ("gb18030", "utf-16-be", "utf-16-le"))
    if score < _PLAUSIBLE:
        if b"\x00" in data[:_SAMPLE_BYTES]:
            return None
        encoding = "cp1252" if _western(data[:_SAMPLE_BYTES]) else _by_statistics(data)
    return data.decode(encoding, errors="replace") if encoding else None


def _by_statistics(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[: 4 * _SAMPLE_BYTES]).best()
    return best.encoding if best is not None else ""


def _western(sample: bytes) -> bool:
    """Whether a sample is plausible Western European text: Latin letters, few of them with accents."""
    text = sample.decode("cp1252", errors="replace")
    special = [character for character in text if character > "\x7f"]
    return len(special) < len(text) // 6 and all(
        (character.isalpha() and character < "\u0180") or character in _WESTERN_MARKS for character in special
    )


def _plausibility(data: bytes, encoding: str) -> float:
    """Return the share of common characters when a sample is decoded in `encoding`; 0 if it cannot be."""
    sample = data[:_SAMPLE_BYTES]
    if encoding.startswith("utf-16") and len(data) % 2:
        return 0.0
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(sample, final=len(sample) == len(data))
    except UnicodeDecodeError:
        return 0.0
    text = text[:_SAMPLE_CHARACTERS]
    return sum(map(_commonness, text)) / len(text) if text else 0.0


def _commonness(character: str) -> float:
    """Return 1 for a character common in texts, 0 or less for one that a wrong encoding produces."""
    point = ord(character)
    if point < 0x80:
        return 1.0 if character.isprintable() or character in _CONTROLS_IN_TEXT else -2.0
    if 0x4E00 <= point <= 0x9FFF:
        # GB 2312 sorts its characters by use: the rows up to 0xD7 hold the 3,755 most frequent ones.
        encoded = character.encode("gbk", errors="ignore")
        if len(encoded) == 2 and 0xB0 <= encoded[0] <= 0xD7 and encoded[1] >= 0xA1:
            return 1.0
        return 0.7 if len(encoded) == 2 and encoded[1] >= 0xA1 and encoded[0] >= 0xB0 else 0.3
    if 0x3000 <= point <= 0x30FF or 0xFF01 <= point <= 0xFF5E or 0x2010 <= point <= 0x2027 or point in {0xB7, 0x2030}:
        return 1.0
    if point < 0x0530 and unicodedata.category(character)[0] == "L":
        return 0.5
    return 0.0 if unicodedata.category(character)[0] != "L" else 0.1


def _junk(sample: str) -> float:
    """Return the share of characters that no text has: control, replacement, unassigned, private use."""
    if not sample:
        return 0.0
    junk = sum(
        character == "\ufffd"
        or (character not in _CONTROLS_IN_TEXT and unicodedata.category(character) in {"Cc", "Cn", "Co", "Cs"})
        for character in sample
    )
    return junk / len(sample)


def markdown_sections(markdown: str, page: int | None = None, sheet: str = "") -> Iterator[Section]:
    """Yield one section per heading; the heading is its first line, without markup.

    Text before the first heading is a section without one. `#` inside fenced code is no heading.
    """
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        mark = _FENCE.match(line)
        if mark:
            fence = mark[1][:3] if not fence else ("" if mark[1].startswith(fence) else fence)
        found = None if fence or mark else _heading(line, lines)
        if found is None:
            lines.append(line)
            continue
        level, title, underlined = found
        if underlined:
            lines.pop()
        yield from _section(lines, path, page, sheet)
        path = [(above, name) for above, name in path if above < level]
        if title:
            path.append((level, title))
        lines = [title]
    yield from _section(lines, path, page, sheet)


def plain_sections(text: str) -> Iterator[Section]:
    """Yield sections of a text without headings."""
    for part in split_text(text):
        yield Section(part)


def split_text(text: str, longest: int = MAX_SECTION_CHARACTERS) -> Iterator[str]:
    """Yield parts of at most `longest` characters, split at a blank line, a line end or a space where there is one."""
    start = 0
    while start < len(text):
        end = start + longest
        if end < len(text):
            for separator in ("\n\n", "\n", "。", " "):
                found = text.rfind(separator, start + longest // 2, end)
                if found > 0:
                    end = found + len(separator)
                    break
        part = text[start:end].strip("\n")
        if part.strip():
            yield part
        start = end


def _heading(line: str, before: list[str]) -> tuple[int, str, bool] | None:
    """Return level, title and whether the title is the line before; None if `line` makes no heading."""
    if len(line) > _MAX_HEADING:
        return None
    atx = _ATX.match(line)
    if atx:
        return len(atx[1]), _plain(atx[2]), False
    underline = _UNDERLINE.match(line)
    above = before[-1].strip() if before else ""
    alone = len(before) < 2 or not before[-2].strip()
    if underline and above and alone and len(above) <= 120 and not above.startswith(("|", "-", "*", ">", "#")):
        return (1 if underline[1].startswith("=") else 2), _plain(above), True
    return None


def _plain(title: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[*`]{1,3}", "", title)).strip()


def _section(lines: list[str], path: list[tuple[int, str]], page: int | None, sheet: str) -> Iterator[Section]:
    text = "\n".join(lines).strip("\n")
    if not text.strip():
        return
    heading = tuple(title for _level, title in path)
    for part in split_text(text):
        yield Section(part, page, sheet, heading)
