"""Translation: every text that a person reads passes through `_` or `plural`.

Texts are written in English where they are used, as `_("...")`, and looked up in the gettext catalogue of the reader's
language (`services/core/locale/<language>/LC_MESSAGES/millpond.mo`). Values are put in after the lookup:
`_("{count} files").format(count=3)`.

The language belongs to whoever reads: `use_language` and `speaking` set it for a run of a page, a request, a command.
Where nobody reads (threads in the background, the log) it is English. What is returned is a `Text`: a string that
knows its message and values, so that `localized` can say it again for another reader, after it was kept in an object,
and `services/core/kept_text.py` after it was kept in a database. `+`, `joined` and `listed` keep that; other string
operations return what they are given as a plain string, in the language of the moment.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, SupportsIndex

from services.core.languages import ENGLISH, PSEUDO, language_of_environment

DOMAIN = "millpond"
CATALOGUES = Path(__file__).resolve().parent / "locale"
_language: ContextVar[str] = ContextVar("millpond_language", default="")
_unknown_reader: Callable[[], str] = lambda: ENGLISH
_SCALARS = (str, int, float, bool, type(None))


class Text(str):
    """A translated text that knows what it was made of; see `localized`."""

    __slots__ = ("_count", "_message", "_other", "_parts", "_values")

    _message: str
    _other: str  # the English plural, "" for a text that has none
    _count: int
    _values: Mapping[str, Any] | None  # None: nothing was put in
    _parts: tuple[str, ...]  # of a text that was put together

    def format(self, *args: object, **values: object) -> str:
        """Return the text with `values` put in, as `str.format` does."""
        if args or self._values is not None or self._parts:
            return super().format(*args, **values)
        kept = {name: value if isinstance(value, _SCALARS) else str(value) for name, value in values.items()}
        shown = super().format(**values)
        made = _made(shown, self._message, self._other, self._count, kept)
        if any(kept[name] is not value for name, value in values.items()) and _rendered(made, language()) != shown:
            return shown  # it asks a value for more than it is as a text
        return made

    def __add__(self, other: str) -> str:
        return _joined((self, other))

    def __radd__(self, other: str) -> str:
        return _joined((other, self))

    def strip(self, characters: str | None = None) -> str:
        """Return the text without spaces around it; itself, where there are none."""
        stripped = super().strip(characters)
        return self if stripped == self else stripped

    def removeprefix(self, prefix: str, /) -> str:
        """Return the text without what it begins with; what follows keeps what it was made of, where it is a piece."""
        begun = ""
        for place, part in enumerate(self._parts, 1):
            begun += str.__str__(part)
            if begun == prefix:
                return _joined(self._parts[place:])
        return super().removeprefix(prefix)

    def __getitem__(self, place: SupportsIndex | slice) -> str:
        part = super().__getitem__(place)
        return self if len(part) == len(self) and part == self else part

    def __copy__(self) -> Text:
        return self

    def __deepcopy__(self, _known: dict[int, Any]) -> Text:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str.__str__(self),)


def language() -> str:
    """Return the language of whoever reads what is made now."""
    return _language.get() or _unknown_reader()


def ask_for_language(find: Callable[[], str]) -> None:
    """Have `find` called where no language was set yet, in any thread: it returns that of the reader, or English."""
    global _unknown_reader  # noqa: PLW0603 - one shell a process, which tells how it knows its readers
    _unknown_reader = find


def use_language(name: str) -> None:
    """Make texts in a language (one of `services.core.languages`) from now on, in this thread or task."""
    _language.set(name)


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Make texts in a language within."""
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


def use_terminal_language(setting: str) -> None:
    """Make the texts of a command in the language of the terminal's locale, else in that of the setting."""
    use_language(language_of_environment(os.environ) or setting)


def _(message: str) -> str:
    """Return `message` in the reader's language."""
    return _made(_catalogue(language()).gettext(message), message)


def plural(singular: str, many: str, count: int, **values: str) -> str:
    """Return the form of a text that fits `count`, with `{count}` (thousands separated) and `values` filled in."""
    shown = _catalogue(language()).ngettext(singular, many, count)
    kept: dict[str, Any] = {"count": f"{count:,}", **values}
    return _made(shown.format(**kept), singular, many, count, kept)


def joined(parts: Iterable[str], separator: str = " ") -> str:
    """Return sentences or other pieces as one text; without the empty ones."""
    pieces: list[str] = []
    for part in parts:
        if part:
            pieces += [separator, part] if pieces else [part]
    if separator == " ":  # between sentences; Chinese has none
        pieces = [_(" ") if piece is separator else piece for piece in pieces]
    return _joined(tuple(pieces))


def listed(items: Iterable[str]) -> str:
    """Return several things as a list within a sentence, such as "a, b, c"."""
    pieces: list[str] = []
    for item in items:
        pieces += [_(", "), item] if pieces else [item]
    return _joined(tuple(pieces))


def localized(text: str) -> str:
    """Return a text in the reader's language, if it knows its message; any other string as it is."""
    if not isinstance(text, Text):
        return text
    shown = _rendered(text, language())
    return text if shown == text else _made(shown, text._message, text._other, text._count, text._values, text._parts)


def in_english(text: str) -> str:
    """Return a text as logs and metrics write it."""
    return _rendered(text, ENGLISH) if isinstance(text, Text) else text


def source_of(text: Text) -> tuple[str, str, int, Mapping[str, Any] | None, tuple[str, ...]]:
    """Return message, plural, count, values and pieces of a text, as `text_from` takes them."""
    return text._message, text._other, text._count, text._values, text._parts


def text_from(
    message: str,
    other: str = "",
    count: int = 0,
    values: Mapping[str, Any] | None = None,
    parts: tuple[str, ...] = (),
) -> str:
    """Return the text that is made of these, in the reader's language."""
    text = _made("", message, other, count, values, parts)
    return _made(_rendered(text, language()), message, other, count, values, parts)


def _made(
    shown: str,
    message: str,
    other: str = "",
    count: int = 0,
    values: Mapping[str, Any] | None = None,
    parts: tuple[str, ...] = (),
) -> Text:
    text = str.__new__(Text, shown)
    text._message, text._other, text._count, text._values, text._parts = message, other, count, values, parts
    return text


def _joined(parts: tuple[str, ...]) -> str:
    flat: list[str] = []
    for part in parts:
        flat += part._parts if isinstance(part, Text) and part._parts else [part]
    if not any(isinstance(part, Text) for part in flat):
        return "".join(flat)
    if len(flat) == 1:
        return flat[0]
    return _made("".join(map(str.__str__, flat)), "", parts=tuple(part for part in flat if part))


def _rendered(text: Text, name: str) -> str:
    if text._parts:
        return "".join(_rendered(part, name) if isinstance(part, Text) else part for part in text._parts)
    catalogue = _catalogue(name)
    if text._other:
        shown = catalogue.ngettext(text._message, text._other, text._count)
    else:
        shown = catalogue.gettext(text._message)
    if text._values is None:
        return shown
    return shown.format(
        **{key: _rendered(value, name) if isinstance(value, Text) else value for key, value in text._values.items()}
    )


@cache
def _catalogue(name: str) -> gettext.NullTranslations:
    if name == PSEUDO:
        return _PseudoTranslations()
    if name == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, localedir=CATALOGUES, languages=[name], fallback=True)


class _PseudoTranslations(gettext.NullTranslations):
    """Marks what passed through here: a test walks the pages and finds what did not."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧" if message.strip() else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{super().ngettext(msgid1, msgid2, n)}⟧"
