"""Names of cached things: digests, so that a key has one length and tells nobody what was asked."""

from __future__ import annotations

import hashlib
import json
import unicodedata


def normalised(text: str) -> str:
    """Return `text` as far as two ways of typing it mean the same: composed characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key_of(*parts: object) -> str:
    """Return the digest of what a cached thing depends on; parts as JSON knows them."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
