"""Tokens and keys that are told by their shape: those of known services, JWT, private keys, Millpond's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.masking.kinds import Finding, PersonalKind

_BEFORE = r"(?<![A-Za-z0-9])"
# What a text must contain, and the shape then looked for. As the services publish them for secret scanning.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (stems, re.compile(pattern))
    for stems, pattern in (
        (("sk-",), _BEFORE + r"sk-[A-Za-z0-9_\-]{16,}"),  # OpenAI, Anthropic, DeepSeek
        (("k_live_", "k_test_"), _BEFORE + r"[spr]k_(?:live|test)_[A-Za-z0-9]{10,}"),  # Stripe
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _BEFORE + r"gh[pousr]_[A-Za-z0-9]{20,}"),
        (("github_pat_",), _BEFORE + r"github_pat_[A-Za-z0-9_]{20,}"),
        (("glpat-", "gldt-", "glrt-"), _BEFORE + r"gl(?:pat|dt|rt)-[A-Za-z0-9_\-]{16,}"),
        (("AKIA", "ASIA"), _BEFORE + r"A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        (("AIza",), _BEFORE + r"AIza[A-Za-z0-9_\-]{35}"),
        (("ya29.",), _BEFORE + r"ya29\.[A-Za-z0-9_\-]{20,}"),
        (("xox",), _BEFORE + r"xox[abeoprs]-[A-Za-z0-9\-]{8,}"),
        (("xapp-",), _BEFORE + r"xapp-[A-Za-z0-9\-]{16,}"),
        (("hf_",), _BEFORE + r"hf_[A-Za-z0-9]{20,}"),
        (("whsec_",), _BEFORE + r"whsec_[A-Za-z0-9+/_\-]{16,}={0,2}"),
        (("npm_",), _BEFORE + r"npm_[A-Za-z0-9]{30,}"),
        (("pypi-",), _BEFORE + r"pypi-[A-Za-z0-9_\-]{30,}"),
        (("dop_v1_",), _BEFORE + r"dop_v1_[a-f0-9]{40,}"),
        (("SG.",), _BEFORE + r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),
        (("LTAI", "AKID"), _BEFORE + r"(?:LTAI|AKID)[A-Za-z0-9]{12,36}(?![A-Za-z0-9])"),  # Alibaba and Tencent Cloud
        (("eyJ",), _BEFORE + r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){0,3}"),
        (("mp_",), _BEFORE + r"mp_[A-Za-z0-9_\-]{16,}"),  # Millpond's own
        (("hooks.slack.com/",), r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9/_\-]{16,}"),
    )
)  # fmt: skip
_PEM = re.compile(
    r"-----BEGIN (?P<what>(?:[A-Z0-9]+ )*PRIVATE KEY)-----"
    r"(?:.{0,20000}?-----END (?P=what)-----|[A-Za-z0-9+/=\s\\:,\-]{0,20000})",
    re.DOTALL,
)
_SHOWN_FROM = 20  # characters: of a shorter one four are too many


def find_credentials(text: str) -> Iterator[Finding]:
    """Yield tokens and keys."""
    underscore = "_" in text
    for stems, shape in _SHAPES:
        if any((underscore or "_" not in stem) and stem in text for stem in stems):
            for found in shape.finditer(text):
                yield secret(text, *found.span())
    if "PRIVATE KEY-----" in text:
        for found in _PEM.finditer(text):
            end = found.end()
            yield Finding(
                PersonalKind.SECRET, found.start(), len(text[:end].rstrip("\\ \t\r\n,:")) if found["what"] else end
            )


def secret(text: str, start: int, end: int) -> Finding:
    """Return a token as a finding; of a long one the last four characters may be shown."""
    last = text[end - 4 : end]
    shown = last if end - start >= _SHOWN_FROM and last.isascii() and last.isalnum() else ""
    return Finding(PersonalKind.SECRET, start, end, shown)
