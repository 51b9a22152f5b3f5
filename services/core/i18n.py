"""Translation: every text that a person reads passes through `_` or `plural`.

Texts are written in English where they are used, as `_("...")`, and looked up in the gettext catalogue of the reader's
language (`services/core/locale/<language>/LC_MESSAGES/millpond.mo`). Values are put in after the lookup:
`_("{count} files").format(count=3)`.

The language belongs to whoever reads: `use_language` and `speaking` set it for a run of a page, a request, a command.
Where nobody reads (threads in the background, the log) it is English. What is returned is a `Text`: a string that
knows its message and values, so that `localized` can say it again for another reader, after it was kept in an object,
and `services/core/kept_text.py` after it was kept in a database. `+`, `joined` and `listed` keep that, other string
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
from typing import Any, NamedTuple, Self, SupportsIndex

from services.core.languages import ENGLISH, PSEUDO, SPACELESS, language_of_environment

DOMAIN = "millpond"
CATALOGUES = Path(__file__).resolve().parent / "locale"
_language: ContextVar[str] = ContextVar("millpond_language", default="")  # "": of an unknown reader
_unknown_reader: list[Callable[[], str]] = []
_BETWEEN_SENTENCES = " "
_SCALARS = (str, int, float, bool, type(None))


class TextSource(NamedTuple):
    """What a text is made of: a message with its values, or the `parts` that were put together.

    Attributes:
        message: the English text, as it is looked up.
        plural: its English plural, "" for a text that has none; `number` decides between them.
        number: how many.
        values: what is put in, by name; None: nothing was.
        parts: texts and plain strings, one after the other; then there is no message.
    """

    message: str = ""
    plural: str = ""
    number: int = 0
    values: Mapping[str, Any] | None = None
    parts: tuple[str, ...] = ()

    def text_in(self, name: str) -> str:
        """Return the text in a language."""
        if self.parts:
            return "".join(_in(part, name) for part in self.parts)
        catalogue = _catalogue(name)
        shown = (
            catalogue.ngettext(self.message, self.plural, self.number)
            if self.plural
            else catalogue.gettext(self.message)
        )
        if self.values is None:
            return shown
        return shown.format(
            **{key: _in(value, name) if isinstance(value, Text) else value for key, value in self.values.items()}
        )

    def text(self) -> Text:
        """Return the text in the reader's language."""
        return Text(self.text_in(language()), self)


class Text(str):
    """A translated text that knows what it was made of; see `localized`."""

    __slots__ = ("source",)

    source: TextSource

    def __new__(cls, shown: str, source: TextSource) -> Self:
        text = super().__new__(cls, shown)
        text.source = source
        return text

    def format(self, *args: object, **values: object) -> str:
        """Return the text with `values` put in, as `str.format` does."""
        shown = super().format(*args, **values)
        if args or self.source.values is not None or self.source.parts:
            return shown
        kept = {name: value if isinstance(value, _SCALARS) else str(value) for name, value in values.items()}
        made = Text(shown, self.source._replace(values=kept))
        if any(kept[name] is not value for name, value in values.items()) and not _is_said_by(made.source, shown):
            return shown  # it asks a value for more than it is as a text
        return made

    def __add__(self, other: str) -> str:
        return _put_together((self, other))

    def __radd__(self, other: str) -> str:
        return _put_together((other, self))

    def strip(self, characters: str | None = None, /) -> str:
        """Return the text without spaces around it; itself, where there are none."""
        stripped = super().strip(characters)
        return self if len(stripped) == len(self) else stripped

    def removeprefix(self, prefix: str, /) -> str:
        """Return the text without what it begins with; what follows keeps what it was made of, where it is a piece."""
        begun = ""
        for place, part in enumerate(self.source.parts, 1):
            begun += str.__str__(part)
            if begun == prefix:
                return _put_together(self.source.parts[place:])
        return super().removeprefix(prefix)

    def __getitem__(self, place: SupportsIndex | slice) -> str:
        part = super().__getitem__(place)
        return self if part == self else part

    def __copy__(self) -> Text:
        return self

    def __deepcopy__(self, _known: dict[int, Any]) -> Text:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str.__str__(self),)


def language() -> str:
    """Return the language of whoever reads what is made now."""
    return _language.get() or (_unknown_reader[0]() if _unknown_reader else ENGLISH)


def ask_for_language(find: Callable[[], str]) -> None:
    """Have `find` called where no language was set yet, in any thread: it returns that of the reader, or English."""
    _unknown_reader[:] = [find]


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
    return Text(_catalogue(language()).gettext(message), TextSource(message))


def translated(message: str) -> str:
    """Return a text that is no literal here in the reader's language; it must be in the catalogue all the same."""
    return TextSource(message).text()


def plural(singular: str, many: str, count: int, **values: str) -> str:
    """Return the form of a text that fits `count`, with `{count}` (thousands separated) and `values` filled in."""
    return TextSource(singular, many, count, {"count": f"{count:,}", **values}).text()


def joined(parts: Iterable[str], separator: str | None = None) -> str:
    """Return pieces as one text, without the empty ones; by default sentences, between which Chinese has no space."""
    between = gap() if separator is None else separator
    pieces: list[str] = []
    for part in filter(None, parts):
        pieces += [between, part] if pieces else [part]
    return _put_together(tuple(pieces))


def listed(items: Iterable[str]) -> str:
    """Return several things as a list within a sentence, such as "a, b, c"."""
    return joined(items, _(", "))


def labelled(label: str, text: str) -> str:
    """Return a text with what it is about before it; one of them alone where the other is empty."""
    return _("{label}: {text}").format(label=label, text=text) if label and text else label or text


def gap() -> str:
    """Return what stands between two sentences: a space, nothing in Chinese."""
    return TextSource(_BETWEEN_SENTENCES).text()


def localized(text: str) -> str:
    """Return a text in the reader's language, if it knows what it is made of; any other string as it is."""
    if not isinstance(text, Text):
        return text
    shown = text.source.text_in(language())
    return text if shown == text else Text(shown, text.source)


def in_english(text: str) -> str:
    """Return a text as logs and metrics write it."""
    return _in(text, ENGLISH)


def _is_said_by(source: TextSource, shown: str) -> bool:
    try:
        return source.text_in(language()) == shown
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # what `format` may raise
        return False


def _in(text: str, name: str) -> str:
    return text.source.text_in(name) if isinstance(text, Text) else text


def _put_together(parts: tuple[str, ...]) -> str:
    flat: list[str] = []
    for part in parts:
        flat += part.source.parts if isinstance(part, Text) and part.source.parts else [part] if part else []
    if not any(isinstance(part, Text) for part in flat):
        return "".join(flat)
    if len(flat) == 1:
        return flat[0]
    return Text("".join(map(str.__str__, flat)), TextSource(parts=tuple(flat)))


@cache
def _catalogue(name: str) -> gettext.NullTranslations:
    if name == PSEUDO:
        return _PseudoTranslations()
    if name == ENGLISH:
        return gettext.NullTranslations()
    kind = _SpacelessTranslations if name in SPACELESS else gettext.GNUTranslations
    return gettext.translation(DOMAIN, localedir=CATALOGUES, languages=[name], class_=kind, fallback=True)


class _SpacelessTranslations(gettext.GNUTranslations):
    """A language without a space between sentences; in a catalogue an empty translation means that there is none."""

    def gettext(self, message: str) -> str:
        return "" if message == _BETWEEN_SENTENCES else super().gettext(message)


class _PseudoTranslations(gettext.NullTranslations):
    """Marks what passed through here: a test walks the pages and finds what did not."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧" if message.strip(" ,;") else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{super().ngettext(msgid1, msgid2, n)}⟧"
