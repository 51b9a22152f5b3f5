"""Secrets that are told by the word before them: password=..., token: ..., 密码：..., headers, passwords in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.credentials import secret
from services.core.masking.kinds import PersonalFinding, PersonalKind

_HAN_NAMES = ("密码", "密碼", "口令", "密钥", "密鑰", "秘钥", "私钥", "令牌", "授权码")
# By what each begins with: where that is not in a text, none of them is looked for.
_NAMES = {
    "pass": ("password", "passwords", "passwd", "passphrase", "pass"),
    "pwd": ("pwd",),
    "secret": ("secret",),
    "token": ("token",),
    "credential": ("credential", "credentials"),
    "key": ("key", "key_id"),
}
_PASSWORDS = frozenset({"password", "passwords", "passwd", "passphrase", "pwd", "pass", "密码", "密碼", "口令"})
_HEADERS = ("authorization", "cookie")
_KEYS = (
    "api", "access", "private", "secret", "signing", "encryption", "master", "account", "auth", "license",
    "storage", "consumer",
    "subscription",
)  # fmt: skip
# Between a name and its value: a sign, or a verb.
_SEP = re.compile(r"(?:\\?[\"'`])?[ \t]{0,3}(?:=>|->|:=|[:=：＝])[ \t]{0,3}|[ ](?:is|was)[ ]")
_HAN_SEP = re.compile(r"(?:\\?[\"'`])?[ \t]{0,2}(?:[:=：＝是为為]|[ \t])[ \t]{0,2}[:：]?[ \t]?")
_HEADER_SEP = re.compile(r"(?:\\?[\"'])?[ \t]{0,2}[:=][ \t]{0,2}")
_BEARER_VALUE = re.compile(r"[A-Za-z0-9._~+/=\-]{12,}")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "「": "」", "«": "»"}
_BARE = re.compile(r"[^\s\"'`,;&<>，；。、！？）】」”’|一-鿿]+")
_BEFORE_HAN = re.compile(r"\((?=[一-鿿]|\Z)")  # a remark behind the value
_QUOTED = {
    opening: re.compile(rf"(?:[^{closing}\\\n]|\\[^\n])*") for opening, closing in _QUOTES.items()
}  # fmt: skip
_SCHEME = re.compile(r"(?:basic|bearer|token|digest|negotiate|apikey|aws4-hmac-sha256|key)\s+", re.IGNORECASE)
_HEADER_VALUE = re.compile(r"[^\"'\n\r\\]+")
_MOST = 4096
# What stands where a secret would and is none.
_NONE_WORDS = (
    "none null nil true false undefined yes no str string int bool bytes optional required any empty missing "
    "invalid expired incorrect "
    "wrong changed unset hidden redacted masked secret password token key pwd passwd default changeme? text "
    "value object number "
    "field type input auto off on is was must should can cannot may will has the a an and or of for to in not "
    "your my our this "
    "that see use enter forgot reset change ok valid needed revoked disabled enabled authentication "
    "authorization rotated "
    "protected policy strength length confirm confirmation new old current"
)
_NONE = frozenset(_NONE_WORDS.split())
_PLACEHOLDER = re.compile(
    r"[*•xX.\-_#]+\Z|<.*>?\Z|\$|\{|%[({sd]|\.\.\.|\[(?:phone|ID|card|email|passport|IBAN|secret)\b|\[|os\.|self\.|env\b"
)
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[]")
_DOTTED = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+\Z")
_HYPHENATED = re.compile(r"[A-Za-z]+(?:[\-/][A-Za-z]+)+\Z")
_CASE_CHANGE = re.compile(r"[a-z][A-Z]|[A-Z][a-z]")
_URL = re.compile(
    r"://[^\s/@:\"'<>?#]{0,128}:(?P<password>[^\s/\"'<>]{1,256})@(?=[A-Za-z0-9\[%])|://(?P<user>[A-Za-z0-9_\-]{20,256})@"
)


def find_assignments(text: str, lower: str) -> Iterator[PersonalFinding]:
    """Yield secrets that a word or a URL shows as such; `lower` is `text` in lower case."""
    if "://" in text and "@" in text:
        yield from _in_urls(text)
    for stem, names in _NAMES.items():
        if stem in lower:
            for name in names:
                yield from _named(text, lower, name)
    for name in _HAN_NAMES:
        yield from _named(text, lower, name)
    for name in _HEADERS:
        yield from _headers(text, lower, name)
    for start in _occurrences(lower, "bearer "):
        value = _BEARER_VALUE.match(text, start + 7)
        if value is not None and any(character.isdigit() for character in value[0]):
            yield secret(text, value.start(), value.start() + len(value[0].rstrip(".")))


def _in_urls(text: str) -> Iterator[PersonalFinding]:
    for found in _URL.finditer(text):
        part = "password" if found["password"] else "user"
        if not _PLACEHOLDER.match(found[part]):
            yield PersonalFinding(PersonalKind.SECRET, *found.span(part))


def _named(text: str, lower: str, name: str) -> Iterator[PersonalFinding]:
    done = 0  # a value is read once, although it may hold the name again
    for start in _occurrences(lower, name):
        sep = (_SEP if name.isascii() else _HAN_SEP).match(lower, start + len(name)) if start >= done else None
        if sep is not None and _is_name(lower, name, start):
            done, finding = _value(text, name, sep)
            if finding is not None:
                yield finding


def _headers(text: str, lower: str, name: str) -> Iterator[PersonalFinding]:
    done = 0
    for start in _occurrences(lower, name):
        sep = _HEADER_SEP.match(lower, start + len(name)) if start >= done else None
        if sep is not None:
            done, finding = _header(text, name, sep.end())
            if finding is not None:
                yield finding


def _occurrences(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _is_name(lower: str, name: str, start: int) -> bool:
    """Return whether a word is the name of a secret: `api_key` is, `key` and `max_token` are not."""
    before = lower[max(0, start - 16) : start]
    if name.startswith("key"):
        return before.rstrip("_- ").endswith(_KEYS)
    if name == "pass":
        return not before[-1:].isalpha() and lower[start + 4 : start + 5] in {":", "=", '"', "'"}
    return not (name == "token" and before.endswith(("max", "max_")))


def _header(text: str, name: str, start: int) -> tuple[int, PersonalFinding | None]:
    """Return where the value of a header that begins at `start` ends, and its credentials."""
    if text[start : start + 1] in {'"', "'"}:
        start += 1
    scheme = _SCHEME.match(text, start)
    if scheme is not None:
        start = scheme.end()
    value = _HEADER_VALUE.match(text, start, start + _MOST)
    if value is None or _PLACEHOLDER.match(value[0]):
        return start if value is None else value.end(), None
    if name == "cookie":
        shown = value[0].rstrip()
        good = re.search("=[^;]", shown) is not None
    else:
        shown = value[0].split(" ")[0].rstrip(",;)}]")
        good = bool(shown) and (scheme is not None or _is_secret(shown, lone=False))
    return value.end(), PersonalFinding(PersonalKind.SECRET, start, start + len(shown)) if good else None


def _value(text: str, name: str, separator: re.Match[str]) -> tuple[int, PersonalFinding | None]:
    """Return where the value behind a name such as password ends, and the value itself where it looks like one."""
    sep, start = separator[0], separator.end()
    escaped = text[start : start + 1] == "\\"
    if text[start + escaped : start + escaped + 1] in _QUOTES:
        return _quoted(text, name, start, escaped=escaped)
    bare = _BARE.match(text, start, start + _MOST)
    if bare is None:
        return start, None
    value = _BEFORE_HAN.split(bare[0], maxsplit=1)[0].rstrip(".?)}]：:\\")
    if name == "pwd" and value.startswith(("/", "~", "C:", "c:")):  # the shell's present folder
        return bare.end(), None
    if name in {"token", "credential", "credentials"} and value.isdecimal() and len(value) < 6:
        return bare.end(), None
    line_end = text.find("\n", start, start + _MOST)
    rest = text[bare.end() : line_end if line_end >= 0 else bare.end() + 20].strip(" \r\\}])")
    han, sign = not name.isascii(), sep.strip(" \t\"'`\\")
    assigned = "=" in sign and ">" not in sign
    lone = bool(sign) and sign not in {"is", "was"} and (han or (not rest and not assigned))
    tight = assigned and sep[0] not in " \t" and not _is_code(value)
    good = bool(value) and _is_secret(value, lone=lone or tight)
    return bare.end(), _found(text, name, start, start + len(value)) if good else None


def _found(text: str, name: str, start: int, end: int) -> PersonalFinding:
    """Return a value as a finding; of a password nothing is shown."""
    return PersonalFinding(PersonalKind.SECRET, start, end) if name in _PASSWORDS else secret(text, start, end)


def _quoted(text: str, name: str, start: int, *, escaped: bool) -> tuple[int, PersonalFinding | None]:
    opening = text[start + escaped]
    start += 1 + escaped
    limit = min(len(text), start + _MOST)
    if escaped:
        end = text.find("\\" + opening, start, limit)
    else:
        closed = _QUOTED[opening].match(text, start, limit)
        end = closed.end() if closed is not None else -1
    value = text[start:end] if end >= 0 else ""
    if len(value) < 3 or "\n" in value or value.lower() in _NONE or _PLACEHOLDER.match(value) or _is_prose(value):
        return max(start, end), None
    return end, _found(text, name, start, end)


def _is_secret(value: str, *, lone: bool) -> bool:
    """Return whether a bare value is a secret: not a word of a sentence, not code, not a placeholder.

    `lone`: nothing else stands in its place; then letters alone are enough.
    """
    if len(value) < 4 or not value.isascii() or value.lower() in _NONE or _PLACEHOLDER.match(value):
        return False
    if _CALL.match(value):
        return False
    if any(character.isdigit() for character in value):
        return True
    if lone:
        return not _DOTTED.match(value) and not value.lower().endswith(("password", "token", "secret", "_key"))
    if len(value) >= 8 and len(_CASE_CHANGE.findall(value)) >= 4:  # letters at random
        return True
    signs = any(not character.isalnum() and character not in "_.'" for character in value)
    return signs and any(map(str.isalpha, value)) and not _HYPHENATED.match(value)


def _is_code(value: str) -> bool:
    """Return whether a value after = looks like a name of a program: with underscores or dots, without digits."""
    return re.match(r"[A-Za-z_]+\Z", value) is not None and ("_" in value or value.lower() in _NONE)


def _is_prose(value: str) -> bool:
    """Return whether a quoted text is a sentence."""
    words = value.split()
    if len(words) > 8:
        return True
    return len(words) >= 4 and not value.isascii() and sum(word.isalpha() for word in words) >= len(words) - 1
