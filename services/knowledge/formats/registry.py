"""The formats that are read: name, media type, endings, the libraries to load before a fork, and the reader of each.

Imported by the fork server: readers import their libraries when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from services.knowledge.formats.plain.code_languages import CODE_SUFFIXES
from services.knowledge.formats.reading import Reading, text_of
from services.knowledge.types import Section

Reader = Callable[[BinaryIO, Reading], Iterator[Section]]


class PageDrawer(Protocol):
    """Returns a page (counted from 1) as PNG of `width` pixels: the texts `highlight` are looked for on it and marked,
    and so are the boxes `marks`, in shares of the page.
    """

    def __call__(
        self, stream: BinaryIO, page: int, width: int, highlight: Sequence[str], marks: Sequence[Sequence[float]], /
    ) -> bytes:
        """Draw it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format. `suffixes` decide where the content does not; `library` is imported once, before forks share it.

    `page_count` and `draw` are there where a document has pages that can be shown.
    """

    kind: str
    media_type: str
    read: Reader
    suffixes: tuple[str, ...] = ()
    library: str = ""
    page_count: Callable[[BinaryIO], int] | None = None
    draw: PageDrawer | None = None


def _pdf(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.pdf import pdf

    return pdf.read(stream, reading)


def _pdf_pages(stream: BinaryIO) -> int:
    from services.knowledge.formats.pdf import pdf

    return pdf.page_count(stream)


def _draw_pdf(
    stream: BinaryIO, page: int, width: int, highlight: Sequence[str], marks: Sequence[Sequence[float]]
) -> bytes:
    from services.knowledge.formats.pdf import pdf_pictures

    return pdf_pictures.render(stream, page, width, highlight, marks)


def _picture(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats import pictures

    return pictures.read_picture(stream, reading)


def _picture_pages(stream: BinaryIO) -> int:
    from services.knowledge.formats import pictures

    return pictures.page_count(stream)


def _draw_picture(
    stream: BinaryIO, page: int, width: int, _highlight: Sequence[str], marks: Sequence[Sequence[float]]
) -> bytes:
    from services.knowledge.formats import pictures

    return pictures.render(stream, page, width, marks)


def _docx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.word import read_docx

    return read_docx(stream, reading)


def _pptx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.slides import read_pptx

    return read_pptx(stream, reading)


def _open_document(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.open_document import read_open_document

    return read_open_document(stream, reading)


def _rtf(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.rich_text import read_rtf

    return read_rtf(stream, reading)


def _doc(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.old_office import read_doc

    return read_doc(stream, reading)


def _ppt(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.office.old_office import read_ppt

    return read_ppt(stream, reading)


def _epub(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.web.books import read_epub

    return read_epub(stream, reading)


def _html(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.web.web_pages import read_html

    return read_html(stream, reading)


def _xlsx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.xlsx_sheets import read_xlsx

    return read_xlsx(stream, reading)


def _xlsb(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.xlsb_sheets import read_xlsb

    return read_xlsb(stream, reading)


def _xls(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.xls_sheets import read_xls

    return read_xls(stream, reading)


def _ods(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.ods_sheets import read_ods

    return read_ods(stream, reading)


def _fods(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.ods_sheets import read_fods

    return read_fods(stream, reading)


def _spreadsheet_xml(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.spreadsheet_xml import read_spreadsheet_xml

    return read_spreadsheet_xml(stream, reading)


def _csv(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.csv_tables import read_csv

    return read_csv(text_of(stream, reading), reading.name)


def _markdown(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.text import markdown_sections

    return markdown_sections(text_of(stream, reading))


def _text(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.sheets.csv_tables import is_tab_table, read_csv
    from services.knowledge.formats.text import plain_sections

    text = text_of(stream, reading)
    return read_csv(text, ".tsv") if "\t" in text[:400] and is_tab_table(text) else plain_sections(text)


def _json(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.json_text import read_json

    return read_json(stream, reading)


def _json_lines(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.json_text import read_json_lines

    return read_json_lines(stream, reading)


def _notebook(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.notebooks import read_notebook

    return read_notebook(stream, reading)


def _code(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.source_code import read_code

    return read_code(stream, reading)


def _xml(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.xml_text import read_xml

    return read_xml(stream, reading)


def _markup(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.markup import read_markup

    return read_markup(stream, reading)


def _subtitles(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.timed_text import read_subtitles

    return read_subtitles(stream, reading)


def _cards(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.plain.timed_text import read_cards

    return read_cards(stream, reading)


def _mail(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.mail import mail

    return mail.read_eml(stream, reading)


def _mbox(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.mail import mail

    return mail.read_mbox(stream, reading)


def _mht(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.mail import mail

    return mail.read_mht(stream, reading)


def _msg(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from services.knowledge.formats.mail import outlook

    return outlook.read_msg(stream, reading)


MARKUP_SUFFIXES = (
    ".rst",
    ".rest",
    ".adoc",
    ".asciidoc",
    ".asc",
    ".org",
    ".tex",
    ".ltx",
    ".sty",
    ".textile",
    ".wiki",
    ".mediawiki",
)
XML_SUFFIXES = (
    ".xml",
    ".rss",
    ".atom",
    ".xsd",
    ".xsl",
    ".xslt",
    ".wsdl",
    ".plist",
    ".opml",
    ".kml",
    ".gpx",
    ".dbk",
    ".docbook",
    ".xmi",
    ".resx",
    ".xlf",
    ".xliff",
    ".tmx",
    ".ttml",
    ".dtbook",
    ".tei",
    ".csproj",
    ".props",
    ".config",
    ".drawio",
)
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument"
FORMATS: dict[str, Format] = {
    each.kind: each
    for each in (
        Format("pdf", "application/pdf", _pdf, library="pdf", page_count=_pdf_pages, draw=_draw_pdf),
        *(
            Format(kind, f"image/{kind}", _picture, library="picture", page_count=_picture_pages, draw=_draw_picture)
            for kind in ("png", "jpeg", "tiff", "webp")
        ),
        Format("docx", f"{_OPEN_XML}.wordprocessingml.document", _docx, library="office"),
        Format("pptx", f"{_OPEN_XML}.presentationml.presentation", _pptx, library="office"),
        Format("xlsx", f"{_OPEN_XML}.spreadsheetml.sheet", _xlsx, library="office"),
        Format("xlsb", "application/vnd.ms-excel.sheet.binary.macroEnabled.12", _xlsb, library="office"),
        Format("xls", "application/vnd.ms-excel", _xls),
        Format("ods", f"{_OPEN_DOCUMENT}.spreadsheet", _ods, library="office"),
        Format("spreadsheet-xml", "application/vnd.ms-excel", _spreadsheet_xml),
        Format("fods", f"{_OPEN_DOCUMENT}.spreadsheet-flat-xml", _fods),
        Format("doc", "application/msword", _doc, library="html"),
        Format("ppt", "application/vnd.ms-powerpoint", _ppt, library="html"),
        Format("odt", f"{_OPEN_DOCUMENT}.text", _open_document, library="office"),
        Format("odp", f"{_OPEN_DOCUMENT}.presentation", _open_document, library="office"),
        Format("odg", f"{_OPEN_DOCUMENT}.graphics", _open_document, library="office"),
        Format("rtf", "application/rtf", _rtf, library="html"),
        Format("epub", "application/epub+zip", _epub, library="office"),
        Format("html", "text/html", _html, (".htm", ".html", ".xhtml"), library="html"),
        # Many programs give the ending ".xls" to lines with tabs.
        Format("csv", "text/csv", _csv, (".csv", ".tsv", ".tab", ".psv", ".xls")),
        Format("markdown", "text/markdown", _markdown, (".md", ".markdown", ".mdown")),
        Format("markup", "text/x-markup", _markup, MARKUP_SUFFIXES),
        Format(
            "json", "application/json", _json, (".json", ".geojson", ".topojson", ".jsonld", ".har", ".webmanifest")
        ),
        Format("jsonl", "application/x-ndjson", _json_lines, (".jsonl", ".ndjson", ".jsonlines", ".ldjson")),
        Format("notebook", "application/x-ipynb+json", _notebook, (".ipynb",)),
        Format("code", "text/x-source", _code, CODE_SUFFIXES),
        Format("xml", "application/xml", _xml, XML_SUFFIXES),
        Format("svg", "image/svg+xml", _xml, (".svg",)),
        Format("subtitles", "text/vtt", _subtitles, (".srt", ".vtt")),
        Format("calendar", "text/calendar", _cards, (".ics", ".ical", ".ifb")),
        Format("cards", "text/vcard", _cards, (".vcf", ".vcard")),
        Format("text", "text/plain", _text),
        Format("mail", "message/rfc822", _mail, (".eml", ".emlx"), library="html"),
        Format("mbox", "application/mbox", _mbox, (".mbox", ".mbx"), library="html"),
        Format("mht", "multipart/related", _mht, (".mht", ".mhtml"), library="html"),
        # No ending: ".msg" is also that of message catalogues, which are text. The content says what it is.
        Format("msg", "application/vnd.ms-outlook", _msg, library="html"),
    )
}
# Media types of documents whose pages can be shown, with words marked on them.
SHOWN_PAGES = frozenset(each.media_type for each in FORMATS.values() if each.draw is not None)
BY_SUFFIX = {suffix: each.kind for each in FORMATS.values() for suffix in each.suffixes}
