"""Office Open XML packages: the parts of a zip file and the relations between them."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.flat_package import unflattened
from services.knowledge.formats.xml_names import PROLOG_BYTES, is_lack_of_memory, refuse_entities, xml_parser
from services.knowledge.notes import NoteCollector, NoteKind

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Relationship:
    """A relation of a part: the last word of its type, and its target (a part's name, or an address)."""

    kind: str
    target: str
    external: bool


class Package:
    """A zip file of parts. Names are found whatever their case and slashes, as some programs write them."""

    def __init__(self, stream: BinaryIO, notes: NoteCollector) -> None:
        self._archive = zipfile.ZipFile(unflattened(stream))
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
        except (etree.XMLSyntaxError, zipfile.BadZipFile, OSError, NotImplementedError) as error:
            if is_lack_of_memory(error):
                raise MemoryError from error
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


def check_entities(stream: BinaryIO) -> None:
    """Refuse XML parts that define entities: office documents do not need them, entity expansion attacks do.

    Raises:
        BadInputError: a part has a document type definition with entities.
    """
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return  # all parts in one XML file, which is examined when it is taken apart
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.filename.lower().endswith((".xml", ".rels", ".opf", ".vml")):
                with archive.open(member) as part:
                    refuse_entities(part.read(PROLOG_BYTES))
    stream.seek(0)
