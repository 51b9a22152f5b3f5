"""XML of documents with short names ("w:p", "text:p"), whatever namespaces a program wrote.

Documents in the strict form of Office Open XML use other namespaces than those that Word writes, and OpenOffice 1 other
ones than OpenDocument: each element has one name here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from services.core.errors import BadInputError
from services.core.i18n import _

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

# A document type definition stands before the first element.
PROLOG_BYTES = 65_536
_NO_MEMORY = 2  # libxml2's XML_ERR_NO_MEMORY
_OPEN_DOCUMENT = re.compile(r"(?:opendocument:xmlns|openoffice\.org/2000)[:/]([a-z]+)")
_PREFIXES = {
    "wordprocessingml/main": "w",
    "wordprocessingml/2006/main": "w",
    "word/2003/wordml": "w",
    "drawingml/main": "a",
    "drawingml/2006/main": "a",
    "drawingml/chart": "c",
    "drawingml/2006/chart": "c",
    "drawing/2014/chartex": "cx",
    "drawingml/diagram": "dgm",
    "drawingml/2006/diagram": "dgm",
    "drawingml/picture": "pic",
    "drawingml/2006/picture": "pic",
    "presentationml/main": "p",
    "presentationml/2006/main": "p",
    "officeDocument/math": "m",
    "officeDocument/2006/math": "m",
    "officeDocument/relationships": "r",
    "officeDocument/2006/relationships": "r",
    "markup-compatibility/2006": "mc",
    "schemas-microsoft-com:vml": "v",
    "wordprocessingDrawing": "wp",
    "purl.org/dc/elements/1.1/": "dc",
}


class ShortNames(dict[Any, str]):
    """Names with the usual prefix ("w:p") by the full name; comments and instructions have none."""

    def __missing__(self, tag: Any) -> str:
        """Work out a name and keep it."""
        name = ""
        if isinstance(tag, str):
            space, _brace, local = tag.rpartition("}")
            open_document = _OPEN_DOCUMENT.search(space)
            prefix = next((prefix for end, prefix in _PREFIXES.items() if space.endswith(end)), "")
            if open_document:
                prefix = "draw" if open_document[1] == "drawing" else open_document[1]
            name = f"{prefix}:{local}" if prefix else local
        self[tag] = name
        return name


NAMES = ShortNames()


def attribute(element: etree._Element, name: str, default: str = "") -> str:
    """Return an attribute by its local name, whatever its namespace."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return default


def child(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Return the first descendant along a path of short names."""
    for name in path:
        if element is None:
            return None
        element = next((each for each in element if NAMES[each.tag] == name), None)
    return element


def value(element: etree._Element | None, *path: str) -> str:
    """Return the attribute `val` of a descendant, "" if there is none."""
    found = child(element, *path)
    return attribute(found, "val") if found is not None else ""


def is_on(element: etree._Element | None, *path: str) -> bool:
    """Whether a switch is there and not turned off."""
    found = child(element, *path)
    return found is not None and attribute(found, "val", "1").lower() not in {"0", "false", "off", "none"}


def xml_parser(*, recover: bool = False, huge: bool = False) -> etree.XMLParser:
    """Return a parser that expands no entities and fetches nothing.

    Args:
        recover: read on after errors.
        huge: take texts of more than 10 MB: pictures within the XML.
    """
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
        recover=recover,
        huge_tree=huge,
    )


def is_lack_of_memory(error: Exception) -> bool:
    """Whether lxml ran out of memory, which it reports as a syntax error."""
    return type(error).__name__ == "XMLSyntaxError" and getattr(error, "code", 0) == _NO_MEMORY


def refuse_entities(head: bytes) -> None:
    """Refuse XML that begins with definitions of entities.

    Raises:
        BadInputError: it does.
    """
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in head[:64]
    if b"<!ENTITY" in (head.replace(b"\x00", b"") if wide else head).upper():
        raise BadInputError(
            _("The document defines XML entities, which real documents do not; it was not read."),
            _("Save it again with the program that made it."),
        )
