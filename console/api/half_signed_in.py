"""Who has given name and password and not yet the code of the second factor.

The password is needed once more with the code. It is kept for minutes and enciphered with what the browser alone has:
whoever reads this process's memory finds nothing that opens it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 300.0
TRIES = 5
MOST = 1000


@dataclass(slots=True)
class _Step:
    name: str
    sealed: bytes
    until: float
    tries: int = TRIES


class HalfSignedIn:
    """Keeps names and passwords between the two pages. Thread-safe, bounded."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._steps: OrderedDict[bytes, _Step] = OrderedDict()

    def begin(self, name: str, password: str) -> str:
        """Return a secret for the browser, with which `find` returns both."""
        secret = secrets.token_urlsafe(32)
        now = self._monotonic()
        step = _Step(name, _enciphered(secret, password.encode()), now + SECONDS)
        with self._lock:
            while self._steps and next(iter(self._steps.values())).until <= now:
                self._steps.popitem(last=False)
            self._steps[_key(secret)] = step
            while len(self._steps) > MOST:
                self._steps.popitem(last=False)
        return secret

    def find(self, secret: str) -> tuple[str, str] | None:
        """Return name and password, None if the time is over or the secret is not one."""
        if not secret.isascii():
            return None
        with self._lock:
            step = self._steps.get(_key(secret))
            if step is None or self._monotonic() >= step.until:
                self._steps.pop(_key(secret), None)
                return None
            return step.name, _enciphered(secret, step.sealed).decode()

    def failed(self, secret: str) -> None:
        """Count a wrong code; after some of them the password is asked for again."""
        with self._lock:
            step = self._steps.get(_key(secret))
            if step is not None:
                step.tries -= 1
                if step.tries <= 0:
                    del self._steps[_key(secret)]

    def end(self, secret: str) -> None:
        """Forget both."""
        with self._lock:
            self._steps.pop(_key(secret), None)


def _key(secret: str) -> bytes:
    return hashlib.sha256(b"key" + secret.encode()).digest()


def _enciphered(secret: str, data: bytes) -> bytes:
    """Return data enciphered or deciphered; a secret is used for one text only."""
    stream = hashlib.shake_256(b"text" + secret.encode()).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))
