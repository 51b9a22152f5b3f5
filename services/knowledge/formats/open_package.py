"""Office Open XML packages: parts of the zip file, relations between them, and XML with short names.

Documents in the strict form of the standard use other namespaces than those that Word writes: both get one name.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

# A document type definition stands before the first element.
_PROLOG_BYTES = 65_536
_PREFIXES = {
    "wordprocessingml/main": "w",
    "wordprocessingml/2006/main": "w",
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
}


class ShortNames(dict[Any, str]):
    """Names with the usual prefix ("w:p") by the full name; comments and instructions have none."""

    def __missing__(self, tag: Any) -> str:
        """Work out a name and keep it."""
        name = ""
        if isinstance(tag, str):
            space, _brace, local = tag.rpartition("}")
            prefix = next((prefix for end, prefix in _PREFIXES.items() if space.endswith(end)), "")
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


@dataclass(frozen=True, slots=True)
class Relationship:
    """A relation of a part: the last word of its type, and its target (a part's name, or an address)."""

    kind: str
    target: str
    external: bool


class Package:
    """A zip file of parts. Names are found whatever their case and slashes, as some programs write them."""

    def __init__(self, stream: BinaryIO, notes: NoteCollector) -> None:
        self._archive = zipfile.ZipFile(stream)
        self._members = {_normal(member.filename): member for member in self._archive.infolist()}
        self._notes = notes
        self._relations: dict[str, dict[str, Relationship]] = {}

    def __contains__(self, name: str) -> bool:
        return _normal(name) in self._members

    def names(self) -> list[str]:
        """Return the names of all parts, in lower case."""
        return list(self._members)

    def open(self, name: str) -> IO[bytes]:
        """Open a part.

        Raises:
            KeyError: there is none of this name.
        """
        return self._archive.open(self._members[_normal(name)])

    def root(self, name: str) -> etree._Element | None:
        """Return the XML of a secondary part; None, with a note, if it cannot be read."""
        from lxml import etree

        try:
            with self.open(name) as part:
                return etree.parse(part, xml_parser()).getroot()
        except KeyError:
            return None
        except (etree.XMLSyntaxError, zipfile.BadZipFile, OSError, NotImplementedError):
            self._notes.add(NoteKind.DAMAGED_PARTS, place=posixpath.basename(name))
            return None

    def relations(self, name: str) -> dict[str, Relationship]:
        """Return the relations of a part ("" is the package) by their identifiers."""
        if name not in self._relations:
            folder, base = posixpath.split(name)
            root = self.root(posixpath.join(folder, "_rels", base + ".rels"))
            self._relations[name] = {} if root is None else dict(_relations(root, folder))
        return self._relations[name]

    def related(self, name: str, *kinds: str) -> list[str]:
        """Return the parts that a part relates to by these types, in their order, each once."""
        found = self.relations(name).values()
        targets = [each.target for each in found if each.kind in kinds and not each.external]
        return list(dict.fromkeys(target for target in targets if target in self))

    def main_part(self, usual: str) -> str:
        """Return the name of the document's own part.

        Raises:
            BadInputError: there is none.
        """
        for name in (*self.related("", "officeDocument"), usual):
            if name in self:
                return name
        raise BadInputError(
            _("The document is damaged: its main part is missing."),
            _("Save it again with the program that made it."),
        )


def _normal(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _relations(root: etree._Element, folder: str) -> Iterator[tuple[str, Relationship]]:
    for each in root:
        target = each.get("Target", "")
        external = each.get("TargetMode", "").lower() == "external"
        if not external:
            target = unquote(target.replace("\\", "/"))
            target = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        yield each.get("Id", ""), Relationship(each.get("Type", "").rpartition("/")[2], target, external)


def xml_parser() -> etree.XMLParser:
    """Return a parser that expands no entities and fetches nothing."""
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


def check_entities(stream: BinaryIO) -> None:
    """Refuse XML parts that define entities: office documents do not need them, entity expansion attacks do.

    Raises:
        BadInputError: a part has a document type definition with entities.
    """
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.filename.lower().endswith((".xml", ".rels", ".opf", ".vml")):
                with archive.open(member) as part:
                    refuse_entities(part.read(_PROLOG_BYTES))
    stream.seek(0)


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
