"""Names of people and groups: which are possible, and which are the same."""

from __future__ import annotations

import unicodedata

from services.core.errors import BadInputError
from services.core.i18n import _

LONGEST = 100  # characters
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # what cannot be seen, or belongs to no character


def name_key(name: str) -> str:
    """Return what is the same for names that count as one: width, compatibility forms and case make no difference."""
    folded = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
    return encodable(unicodedata.normalize("NFKC", folded))


def encodable(text: str) -> str:
    """Return a text that can be stored: half of a surrogate pair, which clients can send in JSON, is no character."""
    return text.encode("utf-8", "replace").decode()


def checked_name(name: str) -> str:
    """Return a name as it is stored.

    Raises:
        BadInputError: it is empty, too long, or has characters that cannot be seen.
    """
    shown = unicodedata.normalize("NFKC", " ".join(name.split()))
    if not shown:
        raise BadInputError(_("A name is needed."), _("Enter at least one visible character."))
    if len(shown) > LONGEST:
        raise BadInputError(
            _("The name is longer than {count} characters.").format(count=LONGEST), _("Choose a shorter one.")
        )
    if any(unicodedata.category(each) in _HIDDEN for each in shown):
        raise BadInputError(_("The name has characters that cannot be seen."), _("Enter visible characters alone."))
    return shown
