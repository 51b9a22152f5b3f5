"""Who has given name and password and not yet the code of the second factor.

The password is needed once more with the code. The browser keeps both meanwhile, encrypted with a key that it does not
have (ChaCha20-Poly1305, RFC 8439): so any node can go on, and nothing is stored here. Without the browser's part the
key opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable

from services.identity.failures import Failures

SECONDS = 300.0
TRIES = 5
_CLOCKS_DIFFER = 60.0  # seconds, between nodes
_NONCE_BYTES, _TAG_BYTES = 12, 16
_LONGEST = 8000
_MOST_ENDED = 10_000  # 150 bytes each
_BOUND = b"millpond sign-in: between password and code"


class SignInSteps:
    """Makes and opens what the browser keeps between the two pages. Thread-safe, bounded.

    One that led to a session is over at the node where it did; at another one a further code would be needed.

    Args:
        key: returns 32 bytes, at all nodes the same.
        failures: where wrong codes are counted.
        now: returns seconds since 1970.
    """

    def __init__(self, key: Callable[[], bytes], failures: Failures, now: Callable[[], float]) -> None:
        self._key = key
        self._failures = failures
        self._now = now
        self._lock = threading.Lock()
        self._ended: OrderedDict[str, float] = OrderedDict()  # until when it would go on

    def begin(self, name: str, password: str) -> str:
        """Return what the browser keeps; `find` returns both from it."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps([self._now(), name, password]).encode()
        sealed = ChaCha20Poly1305(self._key()).encrypt(nonce, text, _BOUND)
        return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()

    def find(self, step: str) -> tuple[str, str] | None:
        """Return name and password; None: the time is over, there were many wrong codes, or `begin` did not make it."""
        text = self._opened(step) if step.isascii() and len(step) <= _LONGEST else None
        if text is None:
            return None
        began, name, password = json.loads(text)
        key = _counted(step)
        failed = self._failures.read([key]).get(key)
        with self._lock:
            over = key in self._ended or (failed is not None and failed.count >= TRIES)
        in_time = began - _CLOCKS_DIFFER <= self._now() < began + SECONDS
        return (name, password) if in_time and not over else None

    def failed(self, step: str) -> None:
        """Count a wrong code; after some of them the password is asked for again."""
        self._failures.add([_counted(step)])

    def end(self, step: str) -> None:
        """Have it count no more: it has led to a session."""
        now = self._now()
        with self._lock:
            self._ended[_counted(step)] = now + SECONDS + _CLOCKS_DIFFER
            while len(self._ended) > _MOST_ENDED or next(iter(self._ended.values())) <= now:
                self._ended.popitem(last=False)

    def _opened(self, step: str) -> bytes | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        try:
            raw = base64.b64decode(step + "=" * (-len(step) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        if len(raw) < _NONCE_BYTES + _TAG_BYTES:
            return None
        try:
            return ChaCha20Poly1305(self._key()).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _BOUND)
        except InvalidTag:
            return None


def _counted(step: str) -> str:
    return f"step\0{hashlib.sha256(step.encode()).hexdigest()}"
