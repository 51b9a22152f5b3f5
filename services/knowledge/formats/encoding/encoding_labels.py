"""Names of encodings: what a file says that it is written in, what that means, and how people call it.

Labels mean what the WHATWG Encoding Standard says: an encoding stands for the largest one of its family.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

_HEAD_BYTES = 4_096
_INPUTENC_BYTES = 16_384
# The encoding that contains another one and that its name means on the web (WHATWG Encoding Standard).
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-8": "cp1255",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "hz",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift_jis_2004": "cp932",
    "euc_jis_2004": "euc_jp",
    "euc_jisx0213": "euc_jp",
    "euc_kr": "cp949",
    "utf-16": "utf-16-le",
}
_LABELS = {  # labels of the web that Python does not know
    "x-gbk": "gb18030",
    "chinese": "gb18030",
    "x-sjis": "cp932",
    "x-euc-jp": "euc_jp",
    "ks_c_5601-1989": "cp949",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "windows-874": "cp874",
    "dos-874": "cp874",
    "windows-949": "cp949",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-x-big5": "big5hkscs",
    "iso-8859-8-i": "cp1255",
    "logical": "cp1255",
    "visual": "cp1255",
    "unicode-1-1-utf-8": "utf-8",
    "unicode": "utf-16-le",
    "utf8mb4": "utf-8",
}
_BINARY = re.compile(r"^(?:base64|hex|bz2|zlib|uu|quopri|rot|punycode|idna|raw_unicode|unicode_escape|undefined|utf-7)")
_ENCODING = rb"""["']?\s*([A-Za-z][\w.:+-]{1,30})"""
_XML = re.compile(rb"""^(?:\xef\xbb\xbf)?\s{0,20}<\?xml\b[^>]{0,200}?\bencoding\s*=\s*""" + _ENCODING)
_META = re.compile(rb"<meta\b[^>]{0,500}?\bcharset\s*=\s*" + _ENCODING, re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_DECLARATIONS = (
    _XML,
    re.compile(rb"^(?:\xef\xbb\xbf)?@charset\s+" + _ENCODING),
    re.compile(rb"\A(?:[^\n]*\n)?[^\n]{0,200}?\bcoding[:=]\s*" + _ENCODING),
    re.compile(rb"""^"Content-Type:\s*text/plain;\s*charset=""" + _ENCODING, re.MULTILINE | re.IGNORECASE),
)
_INPUTENC = re.compile(rb"^\s*\\usepackage\s*\[\s*(\w{3,12})\s*\]\s*\{inputenc\}", re.MULTILINE)
_INPUTENC_NAMES = {
    "latin1": "latin-1",
    "latin2": "latin2",
    "latin9": "iso8859-15",
    "ansinew": "cp1252",
    "utf8": "utf-8",
}
_NAMES = {
    "cp949": "EUC-KR",
    "euc_jp": "EUC-JP",
    "cp932": "Shift_JIS",
    "gb18030": "GB18030",
    "big5hkscs": "Big5",
    "hz": "HZ",
    "mac-roman": "Mac Roman",
    "mac-cyrillic": "Mac Cyrillic",
}


def canonical(label: str) -> str:
    """Return the encoding that a label means on the web, by Python's name; "" for none that texts are written in."""
    label = label.strip().strip("\"'").lower()
    if label in _LABELS:
        return _LABELS[label]
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    return "" if _BINARY.match(name) else SUPERSETS.get(name, name)


def display_name(encoding: str) -> str:
    """Return an encoding's name as people write it ("Windows-1252")."""
    if encoding in _NAMES:
        return _NAMES[encoding]
    if re.fullmatch(r"cp125\d|cp874", encoding):
        return f"Windows-{encoding[2:]}"
    return re.sub(r"^ISO(?=\d)", "ISO-", encoding.upper())


def page_declarations(data: bytes) -> Iterator[str]:
    """Yield the encodings that an HTML page declares: in its `meta` element, then in an XML prolog."""
    head = _COMMENT.sub(b"", data[:_HEAD_BYTES])
    for pattern in (_META, _XML):
        match = pattern.search(head)
        if match:
            yield match[1].decode("ascii")


def declarations(data: bytes) -> Iterator[str]:
    """Yield the encodings that a text file itself declares, in the ways that programs look for."""
    head = data[: _HEAD_BYTES // 2]
    for pattern in _DECLARATIONS:
        match = pattern.search(head)
        if match:
            yield match[1].decode("ascii")
    inputenc = _INPUTENC.search(data[:_INPUTENC_BYTES])
    if inputenc:
        yield _INPUTENC_NAMES.get(inputenc[1].decode("ascii"), "")
