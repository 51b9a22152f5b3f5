"""Headers for content that somebody else wrote."""

from __future__ import annotations

from urllib.parse import quote

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-() ")


def attachment(name: str) -> dict[str, str]:
    """Return headers that make a browser save a file under `name` and never show or run it.

    The name is given twice (RFC 6266): in plain ASCII for old clients, and in full as RFC 5987 has it.
    """
    plain = "".join(letter if letter in _PLAIN else "_" for letter in name).strip() or "document"
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
