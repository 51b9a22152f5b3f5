"""The languages that there are texts in, and which of them fits what a browser, a setting or a locale names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ENGLISH = "en"
SIMPLIFIED = "zh_CN"
TRADITIONAL = "zh_TW"
# As each calls itself, in the order of the menu.
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", SIMPLIFIED: "简体中文", TRADITIONAL: "繁體中文"}
SPACELESS = frozenset({SIMPLIFIED, TRADITIONAL})  # no space between sentences
PSEUDO = "en_XA"  # for tests: each text stands between ⟦ and ⟧
_TRADITIONAL_PARTS = frozenset({"tw", "hk", "mo", "hant"})
_LONGEST_HEADER = 500


def matching_language(tag: str) -> str | None:
    """Return the language for a tag (BCP 47, or a POSIX locale such as "zh_CN.UTF-8"), None where there is none."""
    parts = tag.strip().partition(".")[0].partition("@")[0].replace("_", "-").lower().split("-")
    if parts[0] == "zh":
        # A script says more than a country: zh-Hans-HK.
        if "hans" in parts:
            return SIMPLIFIED
        return TRADITIONAL if _TRADITIONAL_PARTS & set(parts[1:]) else SIMPLIFIED
    if parts == ["en", "xa"]:
        return PSEUDO
    return ENGLISH if parts[0] == "en" else None


def accepted_language(header: str) -> str | None:
    """Return the best language of an `Accept-Language` header (RFC 9110, 12.5.4), None where it names none of ours."""
    best: tuple[float, str] | None = None
    for part in header[:_LONGEST_HEADER].split(","):
        tag, _semicolon, parameter = part.partition(";")
        found = matching_language(tag)
        weight = _weight(parameter)
        if found is not None and weight > 0 and (best is None or weight > best[0]):
            best = weight, found
    return best[1] if best else None


def language_of_environment(environment: Mapping[str, str]) -> str | None:
    """Return the language of a process's locale, None where it names none (POSIX: LC_ALL, LC_MESSAGES, LANG)."""
    named = next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return matching_language(named)


def first_language(candidates: Iterable[str | None]) -> str:
    """Return the first language that is known, English if none is."""
    return next((found for each in candidates if each and (found := matching_language(each))), ENGLISH)


def language_tag(language: str) -> str:
    """Return a language as HTML and HTTP name it: "zh-CN"."""
    return language.replace("_", "-")


def _weight(parameter: str) -> float:
    name, _equals, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 0.0
    except ValueError:
        return 0.0
