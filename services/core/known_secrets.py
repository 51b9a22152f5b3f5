"""Secrets in use, so that no text that leaves the process contains one: logs, messages, previews of objects.

What a secret looks like is for patterns to find (`services/core/masking`); here they are known by their value.
"""

from __future__ import annotations

import threading
from urllib.parse import quote

SHOWN_CHARACTERS = 4
# Shorter ones would give away a good part by their end.
_SHORTEST_SHOWN = 12
# Shorter ones would be found in words that have nothing to do with them.
_SHORTEST_KNOWN = 12
_MOST = 256


class _SecretBase:
    """A secret as it is found in texts; previews of objects mask instances by the name of this type."""

    __slots__ = ("forms", "shown")

    def __init__(self, text: str) -> None:
        self.forms = tuple({text, quote(text, safe="")})
        self.shown = secret_end(text)


_lock = threading.Lock()
_known: dict[int, _SecretBase] = {}  # by the hash of the text, which is different in each process


def secret_end(text: str) -> str:
    """Return how a secret is shown: by its last four characters, a short one not at all; "" for none."""
    if not text:
        return ""
    return f"…{text[-SHOWN_CHARACTERS:]}" if len(text) >= _SHORTEST_SHOWN else "…"


def register_secret(text: str) -> None:
    """Have `text` masked from now on; too short a text is none. The oldest of very many are forgotten."""
    if len(text) < _SHORTEST_KNOWN or hash(text) in _known:
        return
    with _lock:
        _known[hash(text)] = _SecretBase(text)
        while len(_known) > _MOST:
            del _known[next(iter(_known))]


def mask_secrets(text: str) -> str:
    """Return `text` with each known secret as `secret_end` shows it. A few microseconds for a line and ten secrets."""
    for secret in tuple(_known.values()):
        for form in secret.forms:
            if form in text:
                text = text.replace(form, secret.shown)
    return text
