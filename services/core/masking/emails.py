"""Addresses of e-mail, found from their @ on: also as %40, &#64;, [at], and with Chinese text on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.kinds import PersonalFinding, PersonalKind

_ATS = ("@", "%40", "&#64;", "&#064;", "\\u0040", "[at]", "(at)")
_PLAIN_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-'~")
_LETTER = "A-Za-z0-9À-ÖØ-öø-ɏ一-鿿"
_DOT = r"(?:\.| ?[\[(]dot[\])] ?)"
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}\-]{{0,61}}[{_LETTER}])?{_DOT}){{1,6}}"
    r"(?P<top>[A-Za-z]{2,24}|xn--[A-Za-z0-9\-]{2,30}|中国|中國|公司|网络|香港|台湾|台灣)(?![A-Za-z0-9@]|\()"
)
_ASCII_DOMAIN = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{{0,61}}[A-Za-z0-9])?{_DOT}){{1,6}}"
    r"(?P<top>xn--[A-Za-z0-9\-]{2,30}|[A-Za-z]{2,24})(?![A-Za-z0-9@]|\()"
)
# Names of files and attributes: icon@2x.png, tensor@self.weight. Of three letters and more only real domains count.
_TOP_NAMES = (
    "com net org edu gov mil int info biz name pro mobi asia tel jobs travel museum coop aero cat post xyz top "
    "site online shop store "
    "app dev tech club vip win ltd group company email live work team space fun icu wang ren link click news "
    "blog world life "
    "today agency cloud design studio media digital solutions systems services center global international "
    "network academy "
    "school university bank finance capital ventures consulting engineering software technology tools zone host "
    "website press "
    "health care clinic hospital legal law pub red blue green plus one art wiki chat social love games game "
    "video photo "
    "beijing shanghai guangdong foshan berlin london paris tokyo nyc hamburg wien koeln swiss eus bayern ruhr gal "
    "example test invalid local localhost internal intern lan corp home arpa onion"
)
_TOPS = frozenset(_TOP_NAMES.split())
_NOT_TOPS = frozenset({"js", "ts", "py", "md", "sh", "rb", "rs", "cc", "hh"})
_TOP_OF_DOTS = re.compile(r"[\[(]dot[\])] ?[A-Za-z]{2,24}\Z")
_MOST_LOCAL = 64


def find_emails(text: str) -> Iterator[PersonalFinding]:
    """Yield addresses in folded text."""
    for at in _ATS:
        done = 0
        place = text.find(at)
        while place >= 0:
            finding = _around(text, done, place, place + len(at))
            done = finding.end if finding is not None else done
            if finding is not None:
                yield finding
            place = text.find(at, max(done, place + 1))


def _around(text: str, least: int, at: int, behind: int) -> PersonalFinding | None:
    """Return the address around an @ from `at` to `behind`; it begins at `least` or later."""
    if text[at] in "[(":
        at -= text[at - 1 : at] == " "
        behind += text[behind : behind + 1] == " "
    if not text[behind : behind + 1].isalnum():
        return None
    start = _local_start(text, max(least, at - _MOST_LOCAL), at)
    if start == at or _in_url(text, start):
        return None
    domain = _ASCII_DOMAIN.match(text, behind) or _DOMAIN.match(text, behind)
    end = _domain_end(domain[0], behind) if domain is not None else 0
    if not end or (text[start:at] == "git" and text[end : end + 1] == ":"):  # git@github.com:owner/name
        return None
    return PersonalFinding(PersonalKind.EMAIL, start, end)


def _domain_end(domain: str, start: int) -> int:
    """Return where a domain that begins at `start` ends, 0 where it is none: `example.com.pdf` is one with a suffix."""
    while (dot := domain.rfind(".")) > 0:
        if _is_top(domain[dot + 1 :].strip(" )]")):
            return start + len(domain)
        domain = domain[:dot]
    return start + len(domain) if _TOP_OF_DOTS.search(domain) else 0


def _local_start(text: str, least: int, at: int) -> int:
    """Return where the part before the @ begins; `at` where there is none."""
    start = at
    while start > least:
        character = text[start - 1]
        if text[start - 3 : start].lower() == "%2b" and start - 3 >= least:
            start -= 3
        elif character in _PLAIN_LOCAL or "À" <= character <= "ɏ":
            start -= 1
        else:
            break
    if start == at:  # Chinese letters may stand before the @, too
        while start > max(least, at - 12) and "一" <= text[start - 1] <= "鿿":
            start -= 1
    if start and text[start - 1] in "\\%" and start < at:  # \nname@..., %3Dname@...
        start = min(at, start + (1 if text[start - 1] == "\\" else 2))
    while start < at and text[start] in ".-'~+":
        start += 1
    return start


def _in_url(text: str, start: int) -> bool:
    """Return whether the name stands where a URL has user and password: `find_assignments` sees to these."""
    before = text[max(0, start - 80) : start]
    at = before.rfind("://")
    return at >= 0 and not any(character in "/ \t\n\"'<>" for character in before[at + 3 :])


def _is_top(top: str) -> bool:
    folded = top.lower()
    if not folded.isascii() or folded.startswith("xn--"):
        return True
    return folded not in _NOT_TOPS if len(folded) == 2 else folded in _TOPS
