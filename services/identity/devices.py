"""Devices: what a browser calls itself in plain words, and how it proves that somebody signed in with it before.

The proof is a long-lived secret of the browser (a "device cookie", as OWASP describes it in "Slow Down Online Guessing
Attacks with Device Cookies"): it signs nobody in, but its owner is not slowed down by what others do to the account.
"""

from __future__ import annotations

import hmac
import re
import secrets

from services.core.preferences import Preferences
from services.identity.kept_key import KeptKey

_KEY = "identity: key of known devices"
_LONGEST = 100
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("MicroMessenger", "WeChat"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("HarmonyOS", "HarmonyOS"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def device_words(user_agent: str) -> str:
    """Return what the header `User-Agent` says in plain words, such as "Firefox, Windows"; "" without one."""
    browser = next((name for sign, name in _BROWSERS if f"{sign}/" in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if not browser:
        product = re.match(r"[\w.+-]+", user_agent)
        browser = product[0] if product and product[0] != "Mozilla" else ""
    return ", ".join(part for part in (browser, system) if part)[:_LONGEST]


class KnownDevices:
    """Makes and checks the proofs of devices; its key is kept in the preferences. Thread-safe."""

    def __init__(self, preferences: Preferences) -> None:
        self._key = KeptKey(preferences, _KEY)

    def prove(self, person_id: int) -> str:
        """Return a new proof for a device with which that person has signed in."""
        nonce = secrets.token_urlsafe(16)
        return f"{person_id}.{nonce}.{self._signature(person_id, nonce)}"

    def device(self, proof: str, person_id: int | None) -> str:
        """Return which device of that person a proof is of, "" if it is none."""
        owner, _dot, rest = proof.partition(".")
        nonce, _dot, signature = rest.partition(".")
        if person_id is None or owner != str(person_id) or not nonce or not signature.isascii():
            return ""
        return nonce if hmac.compare_digest(signature, self._signature(person_id, nonce)) else ""

    def _signature(self, person_id: int, nonce: str) -> str:
        text = f"{person_id}.{nonce}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key.read(), text, "sha256").hex()
