"""Presentations (PPTX, PPSX, POTX): each slide's title, text, tables, charts, notes and comments.

Our own walk over the slides' parts: it keeps groups, diagrams, charts and comments, and reads the files of programs
that leave out parts which PowerPoint always writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from services.knowledge.formats import marks
from services.knowledge.formats.blocks import Block, block_sections
from services.knowledge.formats.drawing import description, drawn_table, graphic_blocks, paragraphs
from services.knowledge.formats.open_package import Package, check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.xml_names import NAMES, attribute, child
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_TITLES = frozenset({"title", "ctrTitle"})
# Placeholders that repeat on every slide.
_REPEATED = frozenset({"ftr", "hdr", "dt"})
_MOST_SLIDES = 20_000


def read_pptx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of a presentation, slide by slide."""
    check_entities(stream)
    package = Package(stream, reading.notes)
    reader = SlideReader(package, reading)
    main = package.main_part("ppt/presentation.xml")
    slides = _slide_parts(package, main)
    for number, part in enumerate(slides, start=1):
        reading.progress(number - 1, len(slides))
        yield from block_sections(reader.blocks(part, number), page=number)
    reading.progress(len(slides), len(slides))


def _slide_parts(package: Package, main: str) -> list[str]:
    """Return the names of the slides in the order of the show."""
    root = package.root(main)
    relations = package.relations(main)
    listed = child(root, "p:sldIdLst") if root is not None else None
    parts = []
    for each in listed if listed is not None else ():
        identifiers = [str(each.get(key)) for key in each.attrib if str(key).endswith("}id")]
        parts += [relations[identifier].target for identifier in identifiers if identifier in relations]
    return (parts or package.related(main, "slide"))[:_MOST_SLIDES]


@dataclass(slots=True)
class SlideReader:
    """Reads slides; what repeats on all of them is kept with the first."""

    package: Package
    reading: Reading
    _repeated: dict[str, None] = field(default_factory=dict)
    _authors: dict[str, str] | None = None
    _seen: set[str] = field(default_factory=set)

    def blocks(self, part: str, number: int) -> Iterator[Block]:
        """Yield the blocks of a slide: its title first, notes and comments last."""
        root = self.package.root(part)
        if root is None:
            return
        if attribute(root, "show", "1") in {"0", "false"}:
            self.reading.notes.add(NoteKind.HIDDEN_SLIDES, place=number)
        tree = child(root, "p:cSld", "p:spTree")
        shapes = list(self._shapes(tree)) if tree is not None else []
        title = next((shape for shape in shapes if _placeholder(shape) in _TITLES and _body_text(shape)), None)
        repeated: list[str] = []
        if title is not None:
            yield Block(_body_text(title), 1)
        for shape in shapes:
            if shape is title:
                continue
            if _placeholder(shape) in _REPEATED:
                repeated += self._new(_body_text(shape))
            elif _placeholder(shape) != "sldNum":
                yield from self._shape(shape, part)
        yield from marks.on_every_slide([*self._master_text(part), *repeated])
        yield from self._notes(part)
        yield from self._comments(part)

    def _new(self, text: str) -> list[str]:
        """Return the text if no slide before had it."""
        if not text or text in self._repeated:
            return []
        self._repeated[text] = None
        return [text]

    def _shapes(self, tree: etree._Element) -> Iterator[etree._Element]:
        """Yield the shapes of a slide, those of groups, too; of alternatives the first that holds any."""
        for each in tree:
            name = NAMES[each.tag]
            if name == "p:grpSp":
                yield from self._shapes(each)
            elif name == "mc:AlternateContent":
                for alternative in each:
                    found = list(self._shapes(alternative))
                    if found:
                        yield from found
                        break
            elif name in {"p:sp", "p:cxnSp", "p:pic", "p:graphicFrame", "p:contentPart"}:
                yield each

    def _shape(self, shape: etree._Element, part: str) -> Iterator[Block]:
        match NAMES[shape.tag]:
            case "p:pic":
                yield from self._picture(shape)
            case "p:graphicFrame":
                yield from self._frame(shape, part)
            case _:
                body = child(shape, "p:txBody")
                if body is not None:
                    lines = list(paragraphs(body, self.reading.notes))
                    yield from (Block(line, item=len(lines) > 1) for line in lines)

    def _picture(self, shape: etree._Element) -> Iterator[Block]:
        names = {NAMES[each.tag] for each in shape.iter()}
        is_media = bool(names & {"a:videoFile", "a:audioFile", "a:wavAudioFile", "a:quickTimeFile"})
        self.reading.notes.add(NoteKind.MEDIA if is_media else NoteKind.PICTURES)
        properties = child(shape, "p:nvPicPr", "p:cNvPr")
        text = description(properties) if properties is not None else ""
        if text:
            yield Block(text)

    def _frame(self, frame: etree._Element, part: str) -> Iterator[Block]:
        """Yield a table, chart or diagram."""
        data = child(frame, "a:graphic", "a:graphicData")
        table = child(data, "a:tbl")
        if table is not None:
            yield from drawn_table(table, self.reading.notes)
        elif data is not None and any(NAMES[each.tag] == "p:oleObj" for each in data.iter()):
            self.reading.notes.add(NoteKind.EMBEDDED_FILES)
        elif data is not None:
            yield from graphic_blocks(data, self.package, part, self.reading.notes)

    def _master_text(self, part: str) -> Iterator[str]:
        """Yield the text that the slide's layout and master put on it, unless an earlier slide had it."""
        for layout in self.package.related(part, "slideLayout"):
            for above in (layout, *self.package.related(layout, "slideMaster")):
                if above in self._seen:
                    continue
                self._seen.add(above)
                root = self.package.root(above)
                tree = child(root, "p:cSld", "p:spTree")
                for shape in self._shapes(tree) if tree is not None else ():
                    if not _placeholder(shape):
                        yield from self._new(_body_text(shape))

    def _notes(self, part: str) -> Iterator[Block]:
        for notes_part in self.package.related(part, "notesSlide"):
            root = self.package.root(notes_part)
            tree = child(root, "p:cSld", "p:spTree")
            shapes = list(self._shapes(tree)) if tree is not None else []
            texts = [
                _body_text(shape) for shape in shapes if _placeholder(shape) not in _REPEATED | {"sldNum", "sldImg"}
            ]
            text = "\n".join(text for text in texts if text)
            if text:
                yield marks.speaker_notes(text)

    def _comments(self, part: str) -> Iterator[Block]:
        for comments_part in self.package.related(part, "comments", "comment"):
            root = self.package.root(comments_part)
            for each in root.iter() if root is not None else ():
                if NAMES[each.tag].rpartition(":")[2] in {"cm", "reply"}:
                    text = _comment_text(each)
                    if text:
                        self.reading.notes.add(NoteKind.COMMENTS)
                        yield marks.comment(self._author(attribute(each, "authorId")), text)

    def _author(self, identifier: str) -> str:
        if self._authors is None:
            main = self.package.main_part("ppt/presentation.xml")
            roots = [self.package.root(part) for part in self.package.related(main, "commentAuthors", "authors")]
            self._authors = {
                attribute(each, "id"): attribute(each, "name") for root in roots if root is not None for each in root
            }
        return self._authors.get(identifier, "")


def _comment_text(comment: etree._Element) -> str:
    """Return the text of a comment without its replies."""
    for each in comment:
        name = NAMES[each.tag].rpartition(":")[2]
        if name == "text":
            return each.text or ""
        if name == "txBody":
            return "\n".join(paragraphs(each))
    return ""


def _placeholder(shape: etree._Element) -> str:
    """Return the kind of placeholder that a shape is, "" if it is none."""
    for properties in shape[:1]:
        found = child(properties, "p:nvPr", "p:ph")
        if found is not None:
            return attribute(found, "type", "obj")
    return ""


def _body_text(shape: etree._Element) -> str:
    body = child(shape, "p:txBody")
    return "\n".join(paragraphs(body)) if body is not None else ""
