"""Office documents in one XML file: Flat OPC, as Word and PowerPoint save it, and the XML of Word 2003.

Both become a zip file of parts in memory, which the readers of DOCX and PPTX take.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from services.knowledge.formats.xml_names import NAMES, PROLOG_BYTES, attribute, child, refuse_entities, xml_parser

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def unflattened(stream: BinaryIO) -> BinaryIO:
    """Return a zip file of the parts; a stream that is one already is returned as it is."""
    is_zip = zipfile.is_zipfile(stream)
    stream.seek(0)
    if is_zip:
        return stream
    from lxml import etree

    refuse_entities(stream.read(PROLOG_BYTES))
    stream.seek(0)
    root = etree.parse(stream, xml_parser(huge=True)).getroot()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if NAMES[root.tag] == "w:wordDocument":
            _write_word_2003(root, archive)
        else:
            for part in root:
                archive.writestr(attribute(part, "name").lstrip("/"), _content(part))
    out.seek(0)
    return out


def _content(part: etree._Element) -> bytes:
    from lxml import etree

    for each in part:
        kind = NAMES[each.tag].rpartition(":")[2]
        if kind == "xmlData" and len(each):
            return bytes(etree.tostring(each[0]))
        if kind == "binaryData":
            try:
                return base64.b64decode("".join((each.text or "").split()))
            except binascii.Error:
                return b""
    return b""


def _write_word_2003(root: etree._Element, archive: zipfile.ZipFile) -> None:
    """Write body, styles, headers and footers as the parts that DOCX has for them."""
    from lxml import etree

    relations = [("styles", "styles.xml")]
    archive.writestr("word/document.xml", etree.tostring(root))
    styles = child(root, "w:styles")
    archive.writestr("word/styles.xml", etree.tostring(styles) if styles is not None else b"<styles/>")
    for each in root.iter():
        kind = {"w:hdr": "header", "w:ftr": "footer"}.get(NAMES[each.tag])
        if kind:
            name = f"{kind}{len(relations)}.xml"
            relations.append((kind, name))
            archive.writestr(f"word/{name}", etree.tostring(each))
    links = "".join(
        f'<Relationship Id="r{at}" Type="{_RELATIONS}/{kind}" Target="{name}"/>'
        for at, (kind, name) in enumerate(relations)
    )
    archive.writestr("word/_rels/document.xml.rels", f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>')
