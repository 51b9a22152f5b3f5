"""What a line of text looks like: an item, a row, a value with its name, a question, code."""

from __future__ import annotations

import re
from collections.abc import Sequence

FENCE = re.compile(r"\s*(?:```|~~~)")
ITEM = re.compile(r"\s*(?:[•·▪‣*+–-]|\(?\d{1,3}[.)]|\d{1,3}[、）]|[（(]?[a-z][.)]|[①-⑳])\s*(?=\S)")
SPACED_ITEM = re.compile(r"\s*(?:[•·▪‣*+–-]\s|\(?\d{1,3}[.)]\s|\d{1,3}[、）]|[（(]?[a-z][)]\s|[①-⑳]\s?)")
STEP = re.compile(r"\s*\(?\d{1,3}[.)、）]")
_ASKS = re.compile(r"\s*(?:(?:Q|Question|Frage|Pregunta|F|问题?|問題?|質問|提问)\s*\d*\s*[:：.]\s*)", re.IGNORECASE)
ANSWERS = re.compile(r"\s*(?:(?:A|Answer|Antwort|Respuesta|答案?|回答|解答)\s*\d*\s*[:：.]\s*)", re.IGNORECASE)
QUESTION_END = re.compile(r"[?？]\W*$")
_FIELD = re.compile(
    r"\s*(?P<key>[^\W_](?:[^:：=|?？。！.]|\.(?!\s)){0,48}?)\s*(?:[:：](?!//)|=(?!=)\s)\s*(?P<value>\S.*)"
)
_COLUMNS = re.compile(r"\S(?:\s{3,}|\t|\s\s(?=[-+$€£¥]?\d))\S")
DEFINITION = re.compile(r":\s+(?=\S)")
TIMESTAMP = re.compile(r"[\[(]?(?:\d{4}-\d\d-\d\d|\d\d/\w{3}/\d{4}|\w{3} [ \d]\d)[T :,]+\d\d:\d\d")
RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")
HEADING = re.compile(r"\s{0,3}#{1,6}\s+")
EMPHASIS = re.compile(r"^(\*\*|__)(.+)\1$")
ENDED = re.compile(r"""[.!?:;,…。！？：；，、｡؟।॥۔][”’"'»」』）》】)\]*_]*$""")
LEADS = re.compile(r"""[:：][”’"'*_]*$""")
SECTION = re.compile(r"\[[^\]\d][^\]]{0,60}\]")
CLAUSE = re.compile(
    r"\s*(?:§\s*)?(?:\d{1,3}(?:\.\d{1,3})*[.)]?|[（(]?[ivxIVX]{1,4}[.)）]|第[一二三四五六七八九十百\d]+[条章节款])\s*"
)
_CODE = re.compile(
    r"""\s*(?:[})\]]+[;,]?$|[@\w][^。，]*[{;]$|(?:def|class|async|if|elif|else|for|while|with|try|except|switch|case)\b[^.]*[:{(]$
      |(?:return|import|from|const|let|var|public|private|static|function|fn|package|using|raise|throw)\b[^.:]*[\w)(;"']$
      |[\w.\[\]]+\s*(?:[-+*/|]?=)\s*\S|[\w.]+\([^)]*\)[:;]?$|\#include|[$>]\s\w|>>>\s|\"{3}|//|/\*|\*/|\#!)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[-+±]?[$€£¥]?\d[\d.,:/%]*[%€$£¥]?")
_MOST_FIELD = 160
_MOST_NAME_WORDS = 7
_MIN_NUMBERS = 2
_CODE_SHARE = 0.6


def cells(row: str) -> list[str]:
    """Return the cells of a table row."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def plain_title(line: str) -> str:
    """Return a title without marks of Markdown."""
    line = HEADING.sub("", line).strip()
    emphasis = EMPHASIS.match(line)
    return (emphasis[2] if emphasis else line).strip()


def bare_item(item: str) -> str:
    """Return a list item without its bullet or number."""
    return item[match.end() :].strip() if (match := ITEM.match(item)) else item.strip()


def value_of(line: str) -> str:
    """Return what a line says after its name: "38 kg" of "Weight: 38 kg"; all of it where it has none."""
    return match["value"] if (match := _FIELD.fullmatch(line)) else line


def bare_question(line: str) -> str:
    """Return a question without "Q:"."""
    return plain_title(_ASKS.sub("", line, count=1))


def asks(line: str) -> bool:
    """Return whether a line is marked as a question: "Q: ...", "问：...", "Q3. ...?"; "F12: ..." is a code."""
    mark = _ASKS.match(line)
    if mark is None:
        return False
    word = mark[0].strip(" :：.")
    return "?" in line or "？" in line or word in {"Q", "问", "問"} or (len(word) > 1 and word.isalpha())


def answers(line: str) -> bool:
    """Return whether a line is marked as an answer: "A: ...", "答：..."."""
    mark = ANSWERS.match(line)
    return mark is not None and not any(map(str.isdigit, mark[0]))


def is_row(line: str) -> bool:
    """Return whether a line has columns, or words and several numbers, as tables of PDFs have."""
    if _COLUMNS.search(line.strip()):
        return True
    words = line.split()
    numbers = sum(_NUMBER.fullmatch(word) is not None for word in words)
    return numbers >= _MIN_NUMBERS and numbers * 2 >= len(words) and not ENDED.search(line)


def is_value(lines: list[str], at: int) -> bool:
    """Return whether a line is a name and its value: "Weight: 38 kg"."""
    line = lines[at]
    if len(line) > _MOST_FIELD or not (field := _FIELD.fullmatch(line)):
        return False
    key, value = field["key"], field["value"]
    if (key[-1].isdigit() and value[0].isdigit()) or "$" in key or len(key.split()) > _MOST_NAME_WORDS:  # a time, prose
        return False
    following = lines[at + 1] if at + 1 < len(lines) else ""
    return bool(
        not following.strip()
        or ENDED.search(line)
        or _FIELD.fullmatch(following)
        or SPACED_ITEM.match(following)
        or len(line) < 0.7 * max(map(len, lines))
    )


def is_code(lines: Sequence[str]) -> bool:
    """Return whether lines without a blank line between them are source code."""
    matching = sum(_CODE.match(line) is not None for line in lines)
    return len(lines) > 1 and matching >= _CODE_SHARE * len(lines) and any(c in "(){};=" for c in "".join(lines))
