"""Tokens and keys that are told by their shape: those of known services, JWT, private keys, Millpond's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.kinds import PersonalFinding, PersonalKind

# How a token begins, and what follows; as the services publish them for secret scanning.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (tuple(stems.split()), re.compile(rest))
    for stems, rest in (
        ("sk-", r"[A-Za-z0-9_\-]{16,}"),  # OpenAI, Anthropic, DeepSeek
        ("sk_live_ pk_live_ rk_live_ sk_test_ pk_test_ rk_test_", r"[A-Za-z0-9]{10,}"),  # Stripe
        ("ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{20,}"),
        ("github_pat_", r"[A-Za-z0-9_]{20,}"),
        ("glpat- gldt- glrt-", r"[A-Za-z0-9_\-]{16,}"),
        ("AKIA ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("AIza", r"[A-Za-z0-9_\-]{35}"),
        ("ya29.", r"[A-Za-z0-9_\-]{20,}"),
        ("xox", r"[abeoprs]-[A-Za-z0-9\-]{8,}"),
        ("xapp-", r"[A-Za-z0-9\-]{16,}"),
        ("hf_", r"[A-Za-z0-9]{20,}"),
        ("whsec_", r"[A-Za-z0-9+/_\-]{16,}={0,2}"),
        ("npm_", r"[A-Za-z0-9]{30,}"),
        ("pypi-", r"[A-Za-z0-9_\-]{30,}"),
        ("dop_v1_", r"[a-f0-9]{40,}"),
        ("SG.", r"[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),
        ("LTAI AKID", r"[A-Za-z0-9]{12,36}(?![A-Za-z0-9])"),  # Alibaba and Tencent Cloud
        ("eyJ", r"[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){0,3}"),  # JWT
        ("mp_", r"[A-Za-z0-9_\-]{16,}"),  # Millpond's own
        ("hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9/_\-]{16,}"),
    )
)
_PEM = re.compile(
    r"-----BEGIN (?P<what>(?:[A-Z0-9]+ )*PRIVATE KEY)-----"
    r"(?:.{0,20000}?-----END (?P=what)-----|[A-Za-z0-9+/=\s\\:,\-]{0,20000})",
    re.DOTALL,
)
_SHOWN_FROM = 20  # characters: of a shorter one four are too many


def find_credentials(text: str) -> Iterator[PersonalFinding]:
    """Yield tokens and keys."""
    underscore = "_" in text
    for stems, rest in _SHAPES:
        for stem in stems:
            if underscore or "_" not in stem:
                yield from _with_stem(text, stem, rest)
    if "PRIVATE KEY-----" in text:
        for found in _PEM.finditer(text):
            end = found.end()
            yield PersonalFinding(
                PersonalKind.SECRET, found.start(), len(text[:end].rstrip("\\ \t\r\n,:")) if found["what"] else end
            )


def _with_stem(text: str, stem: str, rest: re.Pattern[str]) -> Iterator[PersonalFinding]:
    at = text.find(stem)
    while at >= 0:
        found = None
        if at == 0 or not (text[at - 1].isascii() and text[at - 1].isalnum()):
            found = rest.match(text, at + len(stem))
        if found is not None:
            yield secret(text, at, found.end())
        at = text.find(stem, at + len(stem) if found is None else found.end())


def secret(text: str, start: int, end: int) -> PersonalFinding:
    """Return a token as a finding; of a long one the last four characters may be shown."""
    last = text[end - 4 : end]
    shown = last if end - start >= _SHOWN_FROM and last.isascii() and last.isalnum() else ""
    return PersonalFinding(PersonalKind.SECRET, start, end, shown)
