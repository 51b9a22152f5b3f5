"""Texts in the headers of mail and of HTTP: encoded words (RFC 2047) and parameters (RFC 2231, RFC 8187).

Clients put either where the standards allow neither, and break both; what cannot be decoded stays as it came.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from services.core.errors import BadInputError

# Spaces and newlines within a word are not allowed, and are common where a program folded a long line.
_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]{0,20})?\?([BbQq])\?([^?]{0,5000}|[^\s]{0,5000}?)\?=")
_BETWEEN = re.compile(r"[ \t\r\n]*")
_EXTENDED = re.compile(r"([\w.:-]{0,40})'([\w-]{0,40})'(.*)", re.DOTALL)


def decode_words(text: str) -> str:
    """Return a header's text with its encoded words decoded; words that follow each other are joined without a space.

    A character may be split between two words of the same encoding, which is not allowed and common.
    """
    if "=?" not in text:
        return text
    parts: list[str] = []
    end = 0
    pending: list[tuple[str, bytes]] = []
    for match in _WORD.finditer(text):
        data = _word_bytes(match[2], match[3])
        between = text[end : match.start()]
        if not pending or not _BETWEEN.fullmatch(between):
            parts += [*_joined(pending), between]
            pending = []
        pending.append((match[1], data))
        end = match.end()
    parts += [*_joined(pending), text[end:]]
    return "".join(parts)


def _joined(words: list[tuple[str, bytes]]) -> Iterator[str]:
    """Yield the texts of words, those of one encoding decoded together."""
    at = 0
    while at < len(words):
        charset = words[at][0]
        data = b""
        while at < len(words) and words[at][0].lower() == charset.lower():
            data += words[at][1]
            at += 1
        yield _decoded(data, charset)


def _word_bytes(kind: str, text: str) -> bytes:
    if kind in "Qq":
        return quopri.decodestring(text.replace("_", " ").encode("utf-8", "replace"), header=False)
    return decode_base64(text.encode("ascii", "ignore"))


def decode_base64(data: bytes) -> bytes:
    """Return what base64 stands for; characters that do not belong to it and missing padding do not matter."""
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    try:
        return base64.b64decode(kept + b"=" * (-len(kept) % 4))
    except binascii.Error:
        return b""


def decode_extended(value: str) -> str | None:
    """Return the text of an extended parameter ("UTF-8''%e2%82%ac"); None if it is not one."""
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return None
    return _decoded(unquote_to_bytes(match[3]), match[1])


def decode_bytes(data: bytes) -> str:
    """Return a text whose encoding nobody states: in the likeliest one."""
    return _decoded(data, "")


def _decoded(data: bytes, charset: str) -> str:
    from services.knowledge.formats.encoding.encoding_labels import canonical
    from services.knowledge.formats.encoding.encodings import decode

    try:
        return decode(data, canonical(charset)).text if data else ""
    except BadInputError:
        return data.decode("utf-8", errors="replace")
