"""The words of RTF: tokens, code pages, what text is for whom, and the groups that they stand in."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from services.knowledge.formats.symbols import symbol_character

TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)|\\", re.DOTALL
)
# Character sets of fonts by their number, as Python calls them.
CHARSETS = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "cp950", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 255: "cp437",
}  # fmt: skip
SYMBOL_CHARSET = 2
CODE_PAGES = {936: "gb18030", 1361: "johab", 10000: "mac_roman", 65001: "utf-8", 54936: "gb18030"}
CHARACTERS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " ", "lbr": "\n", "softline": "\n",
}  # fmt: skip
ENDS = frozenset({"par", "page", "sect", "column", "softpage"})
SKIPPED = frozenset(
    "colortbl info pict nonshppict shprslt objdata objclass objname fldtype xe tc txe rxe template filetbl revtbl "  # noqa: SIM905
    "listtable listoverridetable rsidtbl generator ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn nonesttables sp "
    "panose falt fontemb private pgptbl mmathPr bkmkstart bkmkend atnid atrfstart atrfend atnref atntime atndate "
    "atnicn atnparent formfield datafield xmlopen xmlclose xmlattrname xmlattrvalue userprops docvar mailmerge".split()
)
# Destinations that are text although readers may skip them.
TEXT = frozenset(
    "shpinst shptxt do dptxbxtext fldrslt result ud listtext pntext moMath shppict".split()  # noqa: SIM905
)
HEADERS = frozenset({"header", "headerl", "headerr", "headerf"})
FOOTERS = frozenset({"footer", "footerl", "footerr", "footerf"})
ASIDE = HEADERS | FOOTERS | {"footnote", "annotation", "shptxt", "dptxbxtext"}
DEFINITIONS = frozenset({"trowd", "trhdr", "clvmgf", "clvmrg", "clmgf", "clmrg", "cellx"})
HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
# What programs write before an item of a list.
ITEM = re.compile(r"\s*(\(?[\w.]{1,8}[.)]|[•◦▪·o§\uf0b7\ufffd–—-]|)\t+")
LARGEST = 0x10FFFF
ASCII = 0x7F
# What stands between the cells and rows of a table within a cell.
BETWEEN = frozenset({", ", "; "})


@dataclass(slots=True)
class Group:
    """What holds until a group ends: where its text goes, and how it is written."""

    kind: str = ""
    font: int = -1
    fallback: int = 1  # characters after a Unicode one that say the same for old readers
    is_skipped: bool = False
    is_hidden: bool = False
    is_deleted: bool = False
    is_raised: bool = False
    opens_aside: bool = False


@dataclass(slots=True)
class Aside:
    """Text beside the main text while it is read."""

    kind: str
    lines: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def code_page(number: int) -> str:
    """Return Python's name of a code page of Windows."""
    name = CODE_PAGES.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"


def heading_level(style: str) -> int:
    """Return the level of a style's headings by its name, 0 for other styles."""
    heading = HEADING.fullmatch(style)
    return int(heading[1]) + 1 if heading else int(style.lower() == "title")


def ends_within_character(data: bytes, encoding: str) -> bool:
    """Whether bytes end with the first one of a character of two."""
    decoder = codecs.getincrementaldecoder(encoding)("ignore")
    decoder.decode(data)
    return bool(decoder.getstate()[0])


def unicode(number: int, font: tuple[str, int]) -> str:
    """Return the character of a code, which may be negative; symbol fonts use codes of the private area."""
    code = number + 0x10000 if number < 0 else number
    if 0xF020 <= code <= 0xF0FF:
        return symbol_character(font[0], code) or "\ufffd"
    return chr(code) if 0 < code <= LARGEST else ""


def joined(parts: list[str]) -> str:
    """Return text out of its parts; characters beyond 16 bits come as two halves."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip(" \n")
