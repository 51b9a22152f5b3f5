"""Names and values of the shared cache: only who has the pond's key can make one, read one, or tell what is asked.

A server that lies, or somebody else who writes to it, can hold values back and bring old ones of the same name, nothing
else: a value is encrypted and bound to its name (ChaCha20-Poly1305, RFC 8439), and the name stands for everything that
the value depends on.
"""

from __future__ import annotations

import hashlib
import secrets

FORMAT = 1  # of names and values here
KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD_BYTES = _NONCE_BYTES + _TAG_BYTES


class Seal:
    """Makes names, and seals and opens values; thread-safe. `cryptography` is imported here, late."""

    def __init__(self, secret: bytes, pond: str, meaning: str) -> None:
        """Derive keys.

        Args:
            secret: 32 bytes that the nodes of the pond share and nobody else has.
            pond: the pond's identity: others over the same server have other names and keys.
            meaning: what values depend on beside their key in the cache, as version and settings: it is in the names.
        """
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        self.prefix = f"millpond:{{{pond}}}:"
        self._name_key = _derived(secret, f"names\0{FORMAT}\0{pond}\0{meaning}")
        self._cipher = ChaCha20Poly1305(_derived(secret, f"values\0{FORMAT}\0{pond}"))

    def name(self, kind: str, key: str) -> str:
        """Return the name of what a cache keeps under `key`, without the prefix."""
        return hashlib.blake2b(f"{kind}\0{key}".encode(), key=self._name_key, digest_size=24).hexdigest()

    def sealed(self, kind: str, name: str, value: bytes) -> bytes:
        """Return `value` encrypted, to be opened under the same kind and name alone."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, self._bound_to(kind, name))

    def opened(self, kind: str, name: str, sealed: bytes) -> bytes | None:
        """Return what was sealed; None for anything that was not sealed with this key under this name."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < OVERHEAD_BYTES:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound_to(kind, name))
        except InvalidTag:
            return None

    def _bound_to(self, kind: str, name: str) -> bytes:
        return f"{self.prefix}{kind}:{name}".encode()


def _derived(secret: bytes, purpose: str) -> bytes:
    return hashlib.blake2b(purpose.encode(), key=secret, digest_size=KEY_BYTES).digest()
