"""What a PDF holds beside its pages' text: filled form fields, comments, attached files."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from services.knowledge.formats.pdf.pdf_page import Box, Word, turned
from services.knowledge.formats.reading import Reading
from services.knowledge.notes import NoteKind

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

# Fields and comments of a page that are read.
_MAX_ANNOTATIONS = 5_000
_MAX_VALUE = 100_000  # characters
_MAX_PACKETS = 50
_MAX_PACKET_NAME = 100
_MAX_PACKET_BYTES = 16 * 1024 * 1024
_MAX_ATTACHMENTS = 200
_MAX_ATTACHMENT_BYTES = 64 * 1024 * 1024
_HIDDEN_FLAGS = 1 << 1 | 1 << 5  # hidden, not to be viewed
_PASSWORD_FLAG = 1 << 13
# How far before its field a printed label may end, in points.
_LABEL_DISTANCE = 160.0
# Names of a checked box that say no more than that it is checked.
_PLAIN_YES = frozenset({"", "yes", "on", "true", "1", "x"})


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file attached to a document; no `content` if it cannot be read or is too large."""

    name: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class PageAnnotations:
    """A page's annotations: fields as "label: value", comments as "Note by ...: ...", attached files."""

    fields: list[str]
    comments: list[str]
    files: list[AttachedFile]

    @property
    def text(self) -> str:
        """Return fields and comments, a line each."""
        return "\n".join([*self.fields, *self.comments])


def page_annotations(document: pypdfium2.PdfDocument, page: Any, text: str, words: Sequence[Word]) -> PageAnnotations:
    """Return what the fields and comments of a page say.

    Args:
        document: the document, with its form environment where it has forms.
        page: the page.
        text: the page's text.
        words: its words: what is printed beside a field without a name for people is its label.
    """
    import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

    found = PageAnnotations([], [], [])
    count = pdfium.FPDFPage_GetAnnotCount(page)
    placed: list[tuple[float, float, str]] = []
    for index in range(min(max(count, 0), _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN_FLAGS:
                continue
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_WIDGET and document.formenv:
                field = _Field(document.formenv, annotation)
                if value := field.value():
                    box = turned(field.box(), page.get_rotation())
                    label = field.label() or _printed_label(box, text, words, field)
                    placed.append((-box.top, box.left, f"{label}: {value}" if label else value))
            elif kind == pdfium.FPDF_ANNOT_FILEATTACHMENT:
                found.files.append(_file_of(annotation))
            elif kind not in {pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_WIDGET}:
                contents = " ".join(_annotation_text(annotation, b"Contents").split())
                if contents:
                    author = " ".join(_annotation_text(annotation, b"T").split())
                    found.comments.append(f"Note by {author}: {contents}" if author else f"Note: {contents}")
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    found.fields.extend(dict.fromkeys(line for _top, _left, line in sorted(placed)))
    return found


class _Field:
    """A form field's control on a page."""

    def __init__(self, formenv: Any, annotation: Any) -> None:
        import pypdfium2.raw as pdfium

        self._pdfium = pdfium
        self._form = formenv
        self._annotation = annotation
        self._type = pdfium.FPDFAnnot_GetFormFieldType(formenv, annotation)
        self._flags = pdfium.FPDFAnnot_GetFormFieldFlags(formenv, annotation)

    def is_button(self) -> bool:
        """Whether it is a check box or radio button, whose label stands behind it."""
        return self._type in {self._pdfium.FPDF_FORMFIELD_CHECKBOX, self._pdfium.FPDF_FORMFIELD_RADIOBUTTON}

    def name(self) -> str:
        return self._text(self._pdfium.FPDFAnnot_GetFormFieldName)

    def label(self) -> str:
        """Return the name for people (the tooltip)."""
        return self._text(self._pdfium.FPDFAnnot_GetFormFieldAlternateName).rstrip(" :：")

    def box(self) -> Box:
        rectangle = self._pdfium.FS_RECTF()
        self._pdfium.FPDFAnnot_GetRect(self._annotation, rectangle)
        return Box(rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)

    def value(self) -> str:
        """Return what is filled in, "" if nothing is."""
        pdfium = self._pdfium
        if self.is_button():
            checked = pdfium.FPDFAnnot_IsChecked(self._form, self._annotation)
            export = self._text(pdfium.FPDFAnnot_GetFormFieldExportValue)
            if self._type == pdfium.FPDF_FORMFIELD_RADIOBUTTON:
                return export if checked else ""
            return ("yes" if export.casefold() in _PLAIN_YES else export) if checked else "no"
        value = ""
        if self._type in {pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX}:
            value = ", ".join(self._chosen()) or self._text(pdfium.FPDFAnnot_GetFormFieldValue)
        elif self._type == pdfium.FPDF_FORMFIELD_TEXTFIELD and not self._flags & _PASSWORD_FLAG:
            value = self._text(pdfium.FPDFAnnot_GetFormFieldValue)
        return value

    def _chosen(self) -> Iterator[str]:
        pdfium = self._pdfium
        count = pdfium.FPDFAnnot_GetOptionCount(self._form, self._annotation)
        for index in range(min(max(count, 0), _MAX_ANNOTATIONS)):
            if pdfium.FPDFAnnot_IsOptionSelected(self._form, self._annotation, index):
                yield _read_text(partial(pdfium.FPDFAnnot_GetOptionLabel, self._form, self._annotation, index))

    def _text(self, getter: Callable[[Any, Any, Any, int], int]) -> str:
        found = _read_text(partial(getter, self._form, self._annotation))
        return " ".join(found.split())


def _printed_label(box: Box, text: str, words: Sequence[Word], field: _Field) -> str:
    """Return the text that is printed beside a field, with its name if that adds words; else the name."""
    line = [
        word.box
        for word in words
        if min(word.box.top, box.top) - max(word.box.bottom, box.bottom) > word.box.height / 2
    ]
    behind = _nearest(words, [one for one in line if one.left > box.right - 2], box) if field.is_button() else []
    kept = behind or _nearest(words, [one for one in line if one.right < box.left + 2], box)
    label = " ".join(text[word.start : word.end] for word in kept).rstrip(" :：")
    name = field.name()
    if not any(character.isalpha() for character in label):
        return name
    generated = any(character.isdigit() or character == "[" for character in name)
    return label if generated or name.casefold() in label.casefold() else f"{label} ({name})"


def _nearest(words: Sequence[Word], line: Sequence[Box], box: Box) -> list[Word]:
    """Return the words on one side of a field that follow each other without a wide gap, from left to right."""
    kept: set[Box] = set()
    edge, distance = box, _LABEL_DISTANCE
    for one in sorted(line, key=lambda other: max(other.left - box.right, box.left - other.right)):
        if max(one.left - edge.right, edge.left - one.right) > distance:
            break
        kept.add(one)
        edge, distance = one, 2 * one.height
    return [word for word in words if word.box in kept]


def _annotation_text(annotation: Any, key: bytes) -> str:
    import pypdfium2.raw as pdfium

    return _read_text(partial(pdfium.FPDFAnnot_GetStringValue, annotation, key))


def _read_text(getter: Callable[[Any, int], int]) -> str:
    """Call a PDFium function that fills a buffer with UTF-16 and returns its size in bytes."""
    import pypdfium2.raw as pdfium

    size = getter(None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    getter(ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: min(size - 2, 2 * _MAX_VALUE)].decode("utf-16-le", errors="replace").replace("\r", "\n")


def note_form(document: pypdfium2.PdfDocument, reading: Reading) -> None:
    """Prepare the reading of form fields; a form in XFA is noted, because its own contents are not read."""
    import pypdfium2.raw as pdfium

    kind = document.get_formtype()
    if kind == pdfium.FORMTYPE_NONE:
        return
    if kind in {pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND}:
        reading.notes.add(NoteKind.XFA_FORM)
    document.init_forms()


def dynamic_form_text(document: pypdfium2.PdfDocument) -> str:
    """Return the filled fields of a form that is XFA alone, a line each: its pages only ask for another reader."""
    import pypdfium2.raw as pdfium

    if document.get_formtype() != pdfium.FORMTYPE_XFA_FULL:
        return ""
    for index in range(min(max(pdfium.FPDF_GetXFAPacketCount(document), 0), _MAX_PACKETS)):
        name = ctypes.create_string_buffer(_MAX_PACKET_NAME)
        size = ctypes.c_ulong()
        pdfium.FPDF_GetXFAPacketName(document, index, name, _MAX_PACKET_NAME)
        known = pdfium.FPDF_GetXFAPacketContent(document, index, None, 0, size)
        if name.value == b"datasets" and known and 0 < size.value <= _MAX_PACKET_BYTES:
            content = ctypes.create_string_buffer(size.value)
            pdfium.FPDF_GetXFAPacketContent(document, index, content, size.value, size)
            return "\n".join(_filled(content.raw))
    return ""


def _filled(content: bytes) -> Iterator[str]:
    """Yield "name: value" of the elements of an XML document that have text and no elements in them."""
    from lxml import etree  # type: ignore[import-untyped]

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return
    for element in root.iter("*"):
        value = " ".join((element.text or "").split())
        if value and not len(element):
            yield f"{etree.QName(element).localname}: {value}"


def read_attachments(document: pypdfium2.PdfDocument, reading: Reading) -> None:
    """Pass on the files that are attached to the document as documents of their own; those left out are noted."""
    import pypdfium2.raw as pdfium

    count = max(document.count_attachments(), 0)
    for index in range(min(count, _MAX_ATTACHMENTS)):
        pass_on(_file(pdfium.FPDFDoc_GetAttachment(document, index)), reading)
    if count > _MAX_ATTACHMENTS:
        reading.notes.add(NoteKind.SURPLUS_ATTACHMENTS, count - _MAX_ATTACHMENTS, place="…")


def pass_on(file: AttachedFile, reading: Reading) -> None:
    """Pass on an attached file as a document of its own, or note that it was not read."""
    if file.content is None:
        reading.notes.add(NoteKind.UNREAD_ATTACHMENTS, place=file.name or "?")
    else:
        reading.attach(file.name, file.content)


def _file(attachment: Any) -> AttachedFile:
    import pypdfium2.raw as pdfium

    if not attachment:
        return AttachedFile("", None)
    name = _read_text(partial(pdfium.FPDFAttachment_GetName, attachment))
    size = ctypes.c_ulong()
    if not pdfium.FPDFAttachment_GetFile(attachment, None, 0, size) or not 0 < size.value <= _MAX_ATTACHMENT_BYTES:
        return AttachedFile(name, None)
    buffer = ctypes.create_string_buffer(size.value)
    if not pdfium.FPDFAttachment_GetFile(attachment, buffer, size.value, size):
        return AttachedFile(name, None)
    return AttachedFile(name, buffer.raw)


def _file_of(annotation: Any) -> AttachedFile:
    import pypdfium2.raw as pdfium

    return _file(pdfium.FPDFAnnot_GetFileAttachment(annotation))
