"""Secrets that Millpond keeps: encrypted in the preferences, each under a name and for a place, such as an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from services.core.known_secrets import register_secret
from services.core.preferences import Preferences
from services.core.secret_box import SecretBox, UnreadableSecretError

PREFERENCE_KEY = "secrets"


class SecretStore:
    """Keeps secrets by name. Thread-safe; what was set is on disk, encrypted, when `set` returns."""

    def __init__(self, preferences: Preferences, box: SecretBox) -> None:
        self._preferences = preferences
        self._box = box

    def set(self, name: str, text: str, place: str = "") -> None:
        """Keep `text` under `name` for `place` alone, instead of what was there.

        Raises:
            MillpondError: it cannot be encrypted or written; what was there is kept.
        """
        register_secret(text)
        sealed = self._box.seal(_bound(name, place), text)
        self._preferences.update(PREFERENCE_KEY, partial(_put, name=name, sealed=sealed, place=place))

    def get(self, name: str, label: str, place: str = "") -> str:
        """Return the secret of that name for `place`, "" without one; `label` says in words what it is.

        Raises:
            UnreadableSecretError: it cannot be decrypted; it is kept.
        """
        stored = self._stored().get(name)
        if stored is None or stored.get("place") != place:
            return ""
        text = self._box.open(_bound(name, place), stored["sealed"], label)
        register_secret(text)
        return text

    def has(self, name: str, place: str = "") -> bool:
        """Return whether there is a secret of that name for `place`, readable or not."""
        stored = self._stored().get(name)
        return stored is not None and stored.get("place") == place

    def names(self) -> dict[str, str]:
        """Return the place of each secret by its name."""
        return {name: stored["place"] for name, stored in sorted(self._stored().items())}

    def remove(self, name: str) -> bool:
        """Delete the secret of that name; return whether there was one."""
        return self._preferences.update(PREFERENCE_KEY, lambda stored: stored.pop(name, None) is not None)

    def reseal(self, *, failed: Callable[[str], None] = lambda _name: None) -> int:
        """Encrypt with the first key what an older one has encrypted; return how many.

        `failed` is called with the name of each that cannot be decrypted; these are kept as they are.
        """
        sealed: dict[str, tuple[str, str]] = {}  # as it is stored, and anew
        for name, one in self._stored().items():
            if self._box.is_current(one["sealed"]):
                continue
            bound = _bound(name, one["place"])
            try:
                text = self._box.open(bound, one["sealed"], name)
            except UnreadableSecretError:
                failed(name)
                continue
            sealed[name] = one["sealed"], self._box.seal(bound, text)
        if sealed:
            self._preferences.update(PREFERENCE_KEY, partial(_replace, sealed=sealed))
        return len(sealed)

    def _stored(self) -> dict[str, dict[str, str]]:
        return self._preferences.get(PREFERENCE_KEY) or {}


def _put(stored: dict[str, Any], *, name: str, sealed: str, place: str) -> bool:
    stored[name] = {"sealed": sealed, "place": place}
    return True


def _replace(stored: dict[str, Any], *, sealed: Mapping[str, tuple[str, str]]) -> bool:
    """Replace what was sealed anew, unless it was changed meanwhile."""
    for name, (old, new) in sealed.items():
        if stored.get(name, {}).get("sealed") == old:
            stored[name]["sealed"] = new
    return True


def _bound(name: str, place: str) -> str:
    return f"{name}\0{place}"
