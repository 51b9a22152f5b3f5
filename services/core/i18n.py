"""Translation: every text that a person reads passes through `_` or `plural`.

Texts are written in English where they are used, as `_("...")`, and looked up in the gettext catalogue of the
configured language (`locale/<language>/LC_MESSAGES/millpond.mo`). Values are put in after the lookup:
`_("{count} files").format(count=3)`.
"""

from __future__ import annotations

import gettext
from pathlib import Path

_CATALOGUES = Path(__file__).resolve().parents[2] / "locale"
_current: gettext.NullTranslations = gettext.NullTranslations()


def use_language(language: str) -> None:
    """Select the catalogue of `language` (a POSIX name such as "zh_CN"); English where there is none."""
    global _current  # noqa: PLW0603 - one language per process, set once at start
    _current = gettext.translation("millpond", localedir=_CATALOGUES, languages=[language], fallback=True)


def _(message: str) -> str:
    """Return `message` in the selected language."""
    return _current.gettext(message)


def plural(singular: str, many: str, count: int, **values: str) -> str:
    """Return the form of a text that fits `count`, with `{count}` (thousands separated) and `values` filled in."""
    return _current.ngettext(singular, many, count).format(count=f"{count:,}", **values)
