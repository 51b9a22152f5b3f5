"""The language that each person chose, kept in the preferences; who chose none reads what their browser asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.core.languages import matching_language

if TYPE_CHECKING:
    from services.core.preferences import Preferences

_KEY = "language:{person}"


class LanguageChoices:
    """Reads and writes the choices, by a person's id."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences

    def of(self, person_id: int) -> str | None:
        """Return the language that somebody chose, None for none."""
        stored = self._preferences.get(_KEY.format(person=person_id))
        return matching_language(str(stored.get("language", ""))) if stored else None

    def choose(self, person_id: int, language: str | None) -> None:
        """Keep a choice; None: whatever the browser asks for.

        Raises:
            StorageError: it could not be written; the choice before is kept.
        """
        key = _KEY.format(person=person_id)
        if language is None:
            self._preferences.remove(key)
        else:
            self._preferences.set(key, {"language": language})
