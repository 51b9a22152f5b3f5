"""A sign-in under way: what the browser keeps in a cookie while it is at the provider.

State, nonce and PKCE verifier are derived from one secret in that cookie, so nobody but this browser can end what it
began, and nothing is kept here that a flood of beginnings could push out. The key is this process's own, so after a
restart one starts again; but nodes share one, since the browser may come back to another of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass

SECONDS = 600
_MOST_USED = 20_000  # 64 bytes each
_LONGEST_PLACE = 1500
LONGEST_COOKIE = 3900


@dataclass(frozen=True, slots=True)
class SignInFlow:
    """A sign-in under way.

    Attributes:
        secret: of which everything is derived.
        began: seconds since 1970.
        place: where to go afterwards.
        redirect_uri: the way back, as it was given to the provider.
        link: the session of somebody who links their account; "" for a sign-in.
    """

    secret: str
    began: float
    place: str
    redirect_uri: str
    link: str = ""

    @property
    def state(self) -> str:
        """Comes back with the browser."""
        return _derived("state", self.secret)

    @property
    def nonce(self) -> str:
        """Comes back in the ID token."""
        return _derived("nonce", self.secret)

    @property
    def verifier(self) -> str:
        """Shows at the token request that the same one asks who began (RFC 7636)."""
        return _derived("verifier", self.secret)

    @property
    def challenge(self) -> str:
        """What the provider gets of the verifier at the beginning."""
        return _encoded(hashlib.sha256(self.verifier.encode()).digest())


class Flows:
    """Makes and checks these cookies; each counts once at a node, and the provider's code once at all. Thread-safe."""

    def __init__(self, now: Callable[[], float], key: bytes = b"") -> None:
        """`key` signs the cookies; without one those of this process count here alone."""
        self._now = now
        self._key = key or secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._used: OrderedDict[str, float] = OrderedDict()

    def begin(self, place: str, redirect_uri: str, link: str = "") -> SignInFlow:
        """Return a new one."""
        shown = place if len(place) <= _LONGEST_PLACE else "/"
        return SignInFlow(secrets.token_urlsafe(32), self._now(), shown, redirect_uri, link)

    def sealed(self, flow: SignInFlow) -> str:
        """Return the cookie's text."""
        text = _encoded(json.dumps(asdict(flow)).encode())
        return f"{text}.{self._mac(text)}"

    def opened(self, cookie: str, state: str) -> SignInFlow | None:
        """Return what this browser began with that state; None: it did not, it took too long, or it ended already."""
        text, _dot, mac = cookie.partition(".")
        if not cookie.isascii() or not state.isascii() or not hmac.compare_digest(mac, self._mac(text)):
            return None
        try:
            flow = SignInFlow(**json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (ValueError, TypeError, binascii.Error):  # not with a right signature
            return None
        now = self._now()
        if not hmac.compare_digest(flow.state, state) or not flow.began - 1 <= now < flow.began + SECONDS:
            return None
        with self._lock:
            while self._used and (len(self._used) >= _MOST_USED or next(iter(self._used.values())) + SECONDS < now):
                self._used.popitem(last=False)
            if state in self._used:
                return None
            self._used[state] = now
        return flow

    def link_proof(self, session_id: str) -> str:
        """Return what the console's own page sends with the wish to link an account: no other site knows it."""
        return self._mac(f"link {session_id} {int(self._now() // SECONDS)}")

    def proves_link(self, proof: str, session_id: str) -> bool:
        """Return whether a page of this console made it for that session, lately."""
        slot = int(self._now() // SECONDS)
        made = [self._mac(f"link {session_id} {each}") for each in (slot, slot - 1)]
        return bool(session_id) and proof.isascii() and any(hmac.compare_digest(proof, each) for each in made)

    def _mac(self, text: str) -> str:
        return _encoded(hmac.digest(self._key, text.encode(), "sha256"))


def cookie_suffix(state: str) -> str:
    """Return the end of the cookie's name: sign-ins in several tabs do not disturb each other."""
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:12]


def _derived(what: str, secret: str) -> str:
    return _encoded(hashlib.sha256(f"{what} {secret}".encode()).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
