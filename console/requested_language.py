"""How the language of a reader is found: what they chose, else what their browser asks for, else the setting."""

from __future__ import annotations

from services.core.languages import accepted_language, first_language, matching_language

# A choice made in this browser; also for pages that are seen before anybody has signed in. Pages set it, so that it is
# no secret and readable by scripts.
LANGUAGE_COOKIE = "millpond-language"
LANGUAGE_COOKIE_SECONDS = 365 * 86_400


def requested_language(cookie: str, accept: str, setting: str) -> str:
    """Return the language of a request by its cookie and its `Accept-Language`, "" for none."""
    return first_language((matching_language(cookie), accepted_language(accept), setting))
