"""Plain files that need no program: texts in many encodings, tables as text, data, code, subtitles, calendars."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator

from tests.document_set.content import Content
from tests.document_set.markup import html, plain

# Encoding, and the languages that it can carry.
_ENCODINGS = (
    ("utf-8", "umlauts", "chinese", "russian"), ("utf-8-sig", "umlauts", "japanese"), ("utf-16", "umlauts", "chinese"),
    ("gb18030", "chinese"), ("big5", "traditional"), ("cp1252", "umlauts"), ("iso-8859-15", "umlauts"),
    ("mac-roman", "umlauts"), ("ascii",), ("shift_jis", "japanese"), ("euc-jp", "japanese"), ("euc-kr", "korean"),
    ("cp1251", "russian"), ("koi8-r", "russian"), ("iso-8859-7", "greek"), ("cp1250", "polish"),
)  # fmt: skip
Maker = Callable[[Content], bytes]


def files() -> Iterator[tuple[str, str, Maker]]:
    """Yield (file name, how it was made, function that returns its bytes)."""
    for encoding, *languages in _ENCODINGS:
        yield f"plain-{encoding}.txt", "by hand", _encoded(encoding, *languages)
    for encoding, chinese in (("utf-8", True), ("iso-8859-1", False), ("gb18030", True)):
        yield f"page-{encoding}.html", "by hand", _page(encoding, chinese=chinese)
    for name, delimiter, encoding in (
        ("comma.csv", ",", "utf-8"), ("semicolon.csv", ";", "cp1252"), ("excel-unicode.csv", "\t", "utf-16"),
        ("tabs.tsv", "\t", "utf-8"), ("pipes.csv", "|", "utf-8"),
    ):  # fmt: skip
        yield name, "csv of Python", _table(delimiter, encoding)
    yield "records.json", "json of Python", lambda content: json.dumps(_records(content)).encode()
    yield "records.jsonl", "json of Python", lambda content: "\n".join(map(json.dumps, _records(content))).encode()
    yield "nested.json", "json of Python", lambda content: json.dumps(_nested(content), ensure_ascii=False).encode()
    for name, template in _CODE.items():
        yield name, "by hand", _filled(template)


def _encoded(encoding: str, *languages: str) -> Maker:
    return lambda content: plain(content, *languages).encode(encoding)


def _page(encoding: str, *, chinese: bool) -> Maker:
    return lambda content: html(content, encoding=encoding, chinese=chinese).encode(encoding)


def _table(delimiter: str, encoding: str) -> Maker:
    def make(content: Content) -> bytes:
        target = io.StringIO()
        writer = csv.writer(target, delimiter=delimiter)
        writer.writerows(content.table())
        if encoding != "cp1252":
            writer.writerow([content.text("chinese"), "1", "2"])
        writer.writerow([content.text("umlauts"), "1", "2"])
        return target.getvalue().encode(encoding)

    return make


def _records(content: Content) -> list[dict[str, str]]:
    header, *rows = content.table()
    return [dict(zip(header, row, strict=True)) for row in rows]


def _nested(content: Content) -> dict[str, object]:
    return {
        "title": content.text("title"),
        content.word("heading"): {"list": [content.text("bullet_1"), content.text("chinese")], "number": 42},
    }


def _filled(template: str) -> Maker:
    parts = ("title", "heading", "paragraph", "bullet_1", "umlauts", "chinese", "quote")

    def make(content: Content) -> bytes:
        used = [part for part in parts if "{" + part + "}" in template]
        return template.format(**{part: content.text(part) for part in used}).encode()

    return make


_CODE = {
    "pump.py": '"""{title}"""\n\n\nclass Pump:\n    """{heading}"""\n\n    def start(self):\n        # {paragraph}\n'
    '        return "{chinese}"\n',
    "pump.js": "// {title}\nfunction start() {{\n  // {paragraph}\n  return `{chinese}`;\n}}\n",
    "Pump.java": '/** {title} */\npublic class Pump {{\n  // {paragraph}\n  String name = "{umlauts}";\n}}\n',
    "pump.c": '/* {title} */\nint main(void) {{\n  puts("{paragraph}"); /* {heading} */\n  return 0;\n}}\n',
    "pump.go": '// {title}\npackage pump\n\nfunc Start() string {{\n\treturn "{paragraph}"\n}}\n',
    "pump.rs": '//! {title}\nfn start() -> &\'static str {{\n    "{paragraph}"\n}}\n',
    "pump.sql": "-- {title}\nSELECT '{paragraph}' FROM pumps; -- {heading}\n",
    "pump.sh": '#!/bin/sh\n# {title}\necho "{paragraph}"\n',
    "pump.yaml": 'title: "{title}"\nitems:\n  - "{bullet_1}"\n  - "{chinese}"\n',
    "pump.toml": 'title = "{title}"\n[pump]\nnote = "{paragraph}"\n',
    "pump.ini": "; {title}\n[pump]\nnote = {paragraph}\n",
    "pump.xml": '<?xml version="1.0"?>\n<!-- {title} -->\n<pump name="{heading}"><note>{paragraph}</note></pump>\n',
    "pump.srt": "1\n00:00:01,000 --> 00:00:04,000\n{title}\n\n2\n00:00:05,000 --> 00:00:09,000\n{chinese}\n",
    "pump.vtt": "WEBVTT\n\n00:01.000 --> 00:04.000\n{title}\n\n00:05.000 --> 00:09.000\n{paragraph}\n",
    "pump.ics": "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nSUMMARY:{title}\nDESCRIPTION:{paragraph}\nEND:VEVENT\n"
    "END:VCALENDAR\n",
    "pump.log": "2026-03-09 10:00:00 INFO {title}\n2026-03-09 10:00:01 ERROR {paragraph}\n",
}
