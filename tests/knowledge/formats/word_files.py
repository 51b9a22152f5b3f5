"""Word documents written by hand: parts, relations and the namespaces that they need."""

from __future__ import annotations

from tests.knowledge.parsing import samples

NAMESPACES = (
    f"{samples.W} "
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:wpg="http://schemas.microsoft.com/office/word/2010/wordprocessingGroup" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
STRICT = (
    (
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://purl.oclc.org/ooxml/wordprocessingml/main",
    ),
    (
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "http://purl.oclc.org/ooxml/officeDocument/relationships",
    ),
)
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def run(text: str, properties: str = "") -> str:
    """Return a run of text."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def p(content: str, properties: str = "") -> str:
    """Return a paragraph of runs or, without markup, of text."""
    content = content if content.startswith("<") else run(content)
    return f"<w:p><w:pPr>{properties}</w:pPr>{content}</w:p>"


def field(instruction: str, result: str) -> str:
    """Return a field with its result."""
    return (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
        f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
        '<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
        f'{run(result)}<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def document(body: str, parts: dict[str, tuple[str, str]] | None = None, *, strict: bool = False) -> bytes:
    """Return a DOCX; `parts` maps names of further parts to (kind of relation, content of the root element)."""
    roots = {"header": "hdr", "footer": "ftr"}
    links = ""
    files: dict[str, bytes | str] = {
        "[Content_Types].xml": samples.CONTENT_TYPES,
        "_rels/.rels": samples.RELATIONS,
        "word/document.xml": f"<w:document {NAMESPACES}><w:body>{body}</w:body></w:document>",
    }
    parts = {"styles.xml": ("styles", samples.STYLES.partition("?>")[2]), **(parts or {})}
    for name, (kind, content) in parts.items():
        links += f'<Relationship Id="{name.partition(".")[0]}" Type="{_RELATION}/{kind}" Target="{name}"/>'
        root = f"w:{roots.get(kind, kind)}"
        is_whole = content.startswith(("<w:styles", "<c:chartSpace", "<dgm:dataModel"))
        files[f"word/{name}"] = content if is_whole else f"<{root} {NAMESPACES}>{content}</{root}>"
    files["word/_rels/document.xml.rels"] = (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>'
    )
    if strict:
        for usual, other in STRICT:
            files = {name: str(content).replace(usual, other) for name, content in files.items()}
    return samples.zipped(files)
