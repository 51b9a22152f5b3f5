"""XML that is no web page: feeds, DocBook, configuration, drawings, as "path: value" instead of tags.

Read with defusedxml: entities are not expanded, nothing is fetched.
"""

from __future__ import annotations

import html
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from services.knowledge.formats.plain.nested_values import Members, TitledKey, member_sections
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.formats.text import plain_sections
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>")
_ROOT = re.compile(rb"<\?xml\b|<(?:svg|rss|feed|plist|urlset|project|configuration|manifest|resources)\b")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,2000}>")
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_INNER_HTML = re.compile(
    r"</?(?:p|br|div|a|b|i|em|strong|ul|ol|li|span|h[1-6]|img|table|blockquote)\b[^<>]*>", re.IGNORECASE
)
# Elements that name the one that they stand in, and such that are running text.
_NAMES = ("title", "name", "label", "head", "id")
_PARAGRAPHS = {"p", "para", "simpara", "text", "li", "head", "line"}
# In a drawing only these hold words.
_SVG_TEXT = {"text", "title", "desc"}
_LONGEST_NAME = 100


def is_xml(head: bytes) -> bool:
    """Whether a file that begins like this is XML."""
    return _ROOT.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


def read_xml(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of an XML file; what is damaged or defines entities is read as text without tags."""
    from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
    from defusedxml.ElementTree import ParseError, iterparse  # type: ignore[import-untyped]

    text = _DECLARATION.sub(lambda match: "\n" * match[0].count("\n"), text_of(stream, reading))
    try:
        # Twice, so that a file which turns out to be damaged is not read as two halves.
        for _event, element in iterparse(io.StringIO(text)):
            element.clear()
        yield from _sections(iterparse(io.StringIO(text), events=("start", "end")))
        yield from _comments(text)
    except ParseError as error:
        reading.notes.add(NoteKind.DAMAGED_LINES, place=int(error.position[0]))
        yield from plain_sections(_without_tags(text))
    except RecursionError:  # nested deeper than any document; better twice than not at all
        yield from plain_sections(_without_tags(text))
    except DefusedXmlException:
        reading.notes.add(NoteKind.XML_ENTITIES)
        yield from plain_sections(_without_tags(text))


def _comments(text: str) -> Iterator[Section]:
    """Yield what the file's comments say, also in elements that were put out of use."""
    found = [" ".join(_without_tags(words).split()) for words in _COMMENT.findall(text)]
    yield from plain_sections("\n\n".join(filter(None, found)))


def _sections(events: Iterable[tuple[str, Element]]) -> Iterator[Section]:
    iterator = iter(events)
    _event, root = next(iterator)
    if _local(root.tag) == "svg":
        yield from _drawing(iterator)
        return
    attributes = _attributes(root)
    if attributes:
        yield from member_sections(attributes)
    path = (_local(root.tag),)
    sections = member_sections(_grouped(_children(root, iterator)))
    yield from (replace(section, heading=(*path, *section.heading)) for section in sections)


def _drawing(events: Iterator[tuple[str, Element]]) -> Iterator[Section]:
    lines = [
        line
        for event, element in events
        if event == "end" and _local(element.tag) in _SVG_TEXT and (line := _inline(element))
    ]
    yield from plain_sections("\n".join(lines))


def _children(root: Element, events: Iterator[tuple[str, Element]]) -> Iterator[tuple[str, object]]:
    """Yield the children of the root, one by one; each is forgotten before the next."""
    depth = 0
    first = True
    for event, element in events:
        if first and root.text and root.text.strip():
            yield "", _plain(root.text)
        first = False
        depth += 1 if event == "start" else -1
        if depth == 0 and event == "end":
            yield _key(element), _value(element)
            tail = (element.tail or "").strip()
            element.clear()
            root.clear()
            if tail:
                yield "", _plain(tail)
    if first and root.text and root.text.strip():
        yield "", _plain(root.text)


def _grouped(children: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield children; those of one name that follow each other and have children of their own as one list."""
    waiting = deque[tuple[str, object]]()
    source = iter(children)

    def alike(key: str) -> Iterator[object]:
        for name, value in source:
            if name != key or not isinstance(value, Members):
                waiting.append((name, value))
                return
            yield value

    while True:
        name, value = waiting.popleft() if waiting else next(source, ("", None))
        if value is None:
            return
        if isinstance(value, Members):
            following = alike(name)
            second = next(following, None)
            yield name, value if second is None else chain((value, second), following)
        else:
            yield name, value


def _value(element: Element) -> object:
    """Return an element as text if it has nothing but text, also with marks within, else as its members."""
    children = list(element)
    attributes = _attributes(element)
    mixed = (element.text or "").strip() or any((child.tail or "").strip() for child in children)
    if not children or (mixed and not any(len(child) > 3 for child in children)):
        text = _inline(element)
        inner = [pair for child in element.iter() if child is not element for pair in _attributes(child)]
        extra = Members([*attributes, *inner])
        return Members([*extra, ("", text)] if text else extra) if extra else text
    members = Members(attributes)
    if mixed:
        members.append(("", _plain(element.text or "")))
    for key, value in _grouped((_key(child), _value(child)) for child in children):
        members.append((key, list(value) if isinstance(value, Iterator) else value))
    if mixed:
        members.extend(("", _plain(child.tail or "")) for child in children if (child.tail or "").strip())
    return members


def _key(element: Element) -> str:
    """Return the name of an element, with its own title where it has parts of its own."""
    name = _local(element.tag)
    if name in _PARAGRAPHS:
        return ""
    if any(len(child) for child in element):
        for child in element:
            if _local(child.tag) in _NAMES and not len(child) and (title := _inline(child)):
                return TitledKey(f"{name} {title[:_LONGEST_NAME]}")
    return name


def _attributes(element: Element) -> Members:
    return Members((_local(key), value) for key, value in element.attrib.items() if value.strip())


def _inline(element: Element) -> str:
    """Return the text of an element and of what it contains, on one line unless it is laid out in lines."""
    return _plain(" ".join(part for part in element.itertext() if part.strip()) if len(element) else element.text or "")


def _plain(text: str) -> str:
    """Return a text without the HTML that feeds hide in it."""
    if _INNER_HTML.search(text):
        text = html.unescape(_TAG.sub(" ", text))
    return re.sub(r"[^\S\n]+", " ", re.sub(r"\s*\n\s*", "\n", text)).strip().replace("\n", " ")


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _without_tags(text: str) -> str:
    return re.sub(r"[^\S\n]+", " ", html.unescape(_TAG.sub(" ", text)))
