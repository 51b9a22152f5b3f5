"""Write the document set: `python -m tests.document_set ARCHIVE`, with the programs and libraries that it names.

Needs LibreOffice, pandoc, Gnumeric, AbiWord, groff and Chromium, and the packages of `libraries.py`, in an environment
of its own: the tests need the archive only.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version as package_version

from tests.document_set import libraries, programs, texts
from tests.document_set.content import Content
from tests.document_set.markup import html, markdown

Maker = Callable[[Content], bytes]
_BODY_ONLY = ("header", "footer", "comment")
_PACKAGES = {
    "python_docx": ("python-docx", "docx"), "python_pptx": ("python-pptx", "pptx"), "odfpy_text": ("odfpy", "odt"),
    "odfpy_slides": ("odfpy", "odp"), "odfpy_sheet": ("odfpy", "ods"), "odfdo_text": ("odfdo", "odt"),
    "odfdo_sheet": ("odfdo", "ods"), "odfdo_slides": ("odfdo", "odp"), "openpyxl_book": ("openpyxl", "xlsx"),
    "xlsxwriter_book": ("xlsxwriter", "xlsx"), "pyexcelerate_book": ("pyexcelerate", "xlsx"),
    "xlwt_book": ("xlwt", "xls"), "ebooklib_book": ("ebooklib", "epub"), "reportlab_pdf": ("reportlab", "pdf"),
    "reportlab_form": ("reportlab", "pdf"), "fpdf2_pdf": ("fpdf2", "pdf"), "matplotlib_pdf": ("matplotlib", "pdf"),
    "htmldocx_document": ("htmldocx", "docx"), "pyrtf_document": ("pyrtf3", "rtf"),
    "weasyprint_pdf": ("weasyprint", "pdf"), "typst_pdf": ("typst", "pdf"),
    "nbformat_notebook": ("nbformat", "ipynb"),
}  # fmt: skip
# Pandoc's format, the ending.
_PANDOC = (
    ("docx", "docx"), ("odt", "odt"), ("epub2", "epub"), ("epub3", "epub"), ("html5", "html"), ("html4", "html"),
    ("rtf", "rtf"), ("ipynb", "ipynb"), ("rst", "rst"), ("org", "org"), ("latex", "tex"), ("docbook5", "xml"),
    ("jats", "xml"), ("tei", "xml"), ("asciidoc", "adoc"), ("mediawiki", "txt"), ("textile", "txt"), ("plain", "txt"),
    ("gfm", "md"), ("commonmark_x", "md"), ("markdown", "md"), ("fb2", "xml"), ("man", "txt"), ("pptx", "pptx"),
    ("dokuwiki", "txt"), ("opendocument", "fodt"), ("texinfo", "txt"), ("slidy", "html"),
)  # fmt: skip


def files() -> Iterator[tuple[str, str, Maker]]:
    """Yield (file name, program, function that returns its bytes)."""
    yield from texts.files()
    for name, (package, ending) in _PACKAGES.items():
        yield f"{name}.{ending}", f"{package} {package_version(package)}", getattr(libraries, name)
    for name, ending in (("stdlib_mail", "eml"), ("html_mail", "eml"), ("stdlib_mailbox", "mbox")):
        yield f"{name}.{ending}", f"Python {sys.version.split()[0]}", getattr(libraries, name)
    pandoc = programs.version("pandoc")
    for target, ending in _PANDOC:
        yield f"pandoc-{target}.{ending}", pandoc, _pandoc(target)
    yield from _libreoffice(programs.version("soffice"))
    yield from _sheets(f"Gnumeric {programs.version('ssconvert')}")
    abiword = f"AbiWord {programs.version('abiword')}"
    for ending in ("odt", "rtf", "html", "txt", "pdf", "docx", "abw", "xhtml"):
        yield f"abiword.{ending}", abiword, _from_abiword(f".{ending}")
    groff = programs.version("groff")
    for device, ending in (("pdf", "pdf"), ("utf8", "txt"), ("html", "html")):
        yield f"groff.{ending}", groff, _groff(device)
    chromium = programs.version("chromium")
    yield "chromium.pdf", chromium, lambda content: programs.chromium(html(content, chinese=False))
    yield "chromium.mhtml", chromium, lambda content: programs.chromium(html(content), archive=True)


def _libreoffice(program: str) -> Iterator[tuple[str, str, Maker]]:
    for ending in ("odt", "docx", "rtf", "pdf", "doc", "fodt", "txt", "ott", "html", "epub", "xhtml"):
        yield f"libreoffice-html.{ending}", program, _office(html, ".html", ending)
    for ending in ("odt", "docx", "rtf", "pdf", "doc", "fodt", "dotx", "docm"):
        drop = ("comment",) if ending == "pdf" else ()
        yield f"libreoffice-word.{ending}", program, _office(libraries.python_docx, ".docx", ending, drop)
    yield "libreoffice-2003.xml", program, _office(libraries.python_docx, ".docx", "xml:MS Word 2003 XML")
    for ending in ("odp", "pptx", "ppt", "fodp", "pdf", "ppsx", "potx"):
        drop = ("notes",) if ending == "pdf" else ()
        yield f"libreoffice-slides.{ending}", program, _office(libraries.python_pptx, ".pptx", ending, drop)
    for ending in ("ods", "xlsx", "xls", "fods", "xlsm", "xltx", "pdf", "html:HTML (StarCalc)", "csv"):
        drop = {
            "pdf": ("comment", "title", "textbox"), "html:HTML (StarCalc)": ("comment", "textbox", "title"),
            "csv": ("comment", "title", "textbox"),
        }.get(ending, ())  # fmt: skip
        yield (
            f"libreoffice-sheet.{ending.partition(':')[0]}",
            program,
            _office(libraries.xlsxwriter_book, ".xlsx", ending, drop),
        )


def _sheets(program: str) -> Iterator[tuple[str, str, Maker]]:
    for ending, exporter in (
        ("xlsx", ""), ("ods", ""), ("csv", ""), ("html", ""), ("xls", "Gnumeric_Excel:excel_biff8"),
        ("xls", "Gnumeric_Excel:excel_biff7"), ("xlsx", "Gnumeric_Excel:xlsx2"),
        ("ods", "Gnumeric_OpenCalc:openoffice"),
    ):  # fmt: skip
        drop = ("title", "textbox", "comment") if ending in {"csv", "html"} else ("textbox",)
        name = f"gnumeric{'-' + exporter.split(':')[1] if exporter else ''}.{ending}"
        yield name, program, _gnumeric(f".{ending}", exporter, drop)


def _office(source: Callable[[Content], bytes | str], suffix: str, ending: str, drop: tuple[str, ...] = ()) -> Maker:
    def make(content: Content) -> bytes:
        made = source(content)
        for part in drop:
            content.used.pop(part, None)
        return programs.libreoffice(made.encode() if isinstance(made, str) else made, suffix, ending)

    return make


def _gnumeric(ending: str, exporter: str, drop: tuple[str, ...]) -> Maker:
    def make(content: Content) -> bytes:
        source = libraries.xlsxwriter_book(content)
        for part in drop:
            content.used.pop(part, None)
        return programs.gnumeric(source, ".xlsx", ending, exporter)

    return make


def _from_abiword(ending: str) -> Maker:
    return lambda content: programs.abiword(html(content).encode(), ".html", ending)


def _pandoc(target: str) -> Maker:
    return lambda content: programs.pandoc(markdown(content), target)


def _groff(device: str) -> Maker:
    return lambda content: programs.groff(content, device)


def main(archive: str) -> None:
    """Write the files and a manifest of the words in each into an archive."""
    manifest: dict[str, dict[str, object]] = {}
    made: dict[str, bytes] = {}
    for name, program, make in files():
        content = Content(name)
        try:
            data = make(content)
        except (subprocess.SubprocessError, OSError, StopIteration, ValueError) as error:
            print(f"{name}: not made: {error!r}"[:300])
            continue
        made[name] = data
        manifest[name] = {"program": program, "words": content.used}
        print(f"{name}: {len(data)} bytes, {len(content.used)} words, {program}")
    made["manifest.json"] = json.dumps(manifest, indent=1).encode()
    with tarfile.open(archive, "w:xz") as target:
        for name, data in made.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    print(f"{len(manifest)} files, checksum {zlib.crc32(made['manifest.json']):08x}")


if __name__ == "__main__":
    main(sys.argv[1])
