"""PDFs written object by object, for what no library of ours writes."""

from __future__ import annotations

from collections.abc import Sequence


def pdf_of(objects: Sequence[bytes | str], trailer: str = "") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the catalogue."""
    out = b"%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content.encode("latin-1") if isinstance(content, str) else content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += f"trailer<</Size {len(objects) + 1}/Root 1 0 R{trailer}>>\nstartxref\n{table}\n%%EOF".encode()
    return out


def stream_of(content: str | bytes, entries: str = "") -> bytes:
    """Return a stream object."""
    data = content.encode("latin-1") if isinstance(content, str) else content
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries.encode(), len(data), data)


def page_of(content: str, *more: bytes | str, page: str = "", resources: str = "", catalogue: str = "") -> bytes:
    """Return a PDF of one page; objects of `more` are numbered from 6, the font /F1 is Helvetica."""
    fonts = f"<</Font<</F1 5 0 R{resources}>>>>"
    return pdf_of(
        [
            f"<</Type/Catalog/Pages 2 0 R{catalogue}>>",
            "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources{fonts}{page}>>",
            stream_of(content),
            "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            *more,
        ]
    )
