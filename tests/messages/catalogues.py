"""The catalogues: `locale/<language>/LC_MESSAGES/millpond.po` for people, compiled ones beside `services/core/i18n.py`.

Texts keep their order by file; of their places only the file is told, without a line: a catalogue then changes with
the texts alone, and two branches that moved lines do not get into each other's way.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

from babel.messages import Catalog
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from console.__main__ import cli
from console.cli.help import help_texts
from services.core.i18n import CATALOGUES, DOMAIN
from services.core.languages import SIMPLIFIED, TRADITIONAL
from services.core.settings import Settings
from tests.messages.extraction import ROOT, calls
from tests.messages.traditional import in_traditional

SOURCES = ROOT / "locale"
HEADER = {
    SIMPLIFIED: "# Chinese (simplified) texts of Millpond: extracted by `make messages`, translated here.",
    TRADITIONAL: "# Chinese (traditional) texts of Millpond: GENERATED from zh_CN by `make messages`; corrections\n"
    "# go to tests/messages/taiwan.txt.",
}


def source_path(language: str) -> Path:
    """Return where the texts of a language are written."""
    return SOURCES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def compiled_path(language: str) -> Path:
    """Return what is read at work."""
    return CATALOGUES / language / "LC_MESSAGES" / f"{DOMAIN}.mo"


def template() -> Catalog:
    """Return a catalogue of all texts, without translations."""
    catalog = Catalog(project="Millpond", charset="utf-8")
    places: dict[tuple[str, ...], list[str]] = {}
    for call in calls():
        if all(call.texts):
            files = places.setdefault(call.texts, [])
            if call.file not in files:
                files.append(call.file)
    for setting in Settings.model_fields.values():  # shown on a page; the documents have them in English
        places.setdefault((str(setting.description),), ["services/core/settings.py"])
    for text in help_texts(cli):
        places.setdefault((text,), ["console/__main__.py"])
    # A text with a plural and the same one without it are one message to gettext.
    plurals = {texts[0] for texts in places if len(texts) == 2}
    for texts, files in places.items():
        if len(texts) == 1 and texts[0] in plurals:
            continue
        catalog.add(texts if len(texts) == 2 else texts[0], locations=[(file, None) for file in files])
    return catalog


def read(language: str) -> Catalog:
    """Return the catalogue of a language, an empty one where there is none."""
    path = source_path(language)
    if not path.exists():
        return Catalog(locale=language, project="Millpond", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(catalog: Catalog) -> Catalog:
    """Return a catalogue with the texts there are now: new ones without translation, without those that are gone.

    A translation goes to a changed text only by hand: one that fits nearly is worse than one that is missing.
    """
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def traditional(simplified: Catalog) -> Catalog:
    """Return the catalogue of Taiwan, made of the simplified one."""
    made = Catalog(locale=TRADITIONAL, project="Millpond", charset="utf-8")
    for message in simplified:
        if message.id:
            strings = message.string if isinstance(message.string, tuple) else (message.string,)
            converted = tuple(in_traditional(string) if string else "" for string in strings)
            several = isinstance(message.id, tuple)
            made.add(message.id, converted if several else converted[0], locations=message.locations)
    return made


def written(catalog: Catalog) -> bytes:
    """Return a catalogue as a file for people."""
    catalog.header_comment = HEADER[str(catalog.locale_identifier)]
    catalog.fuzzy = False
    file = io.BytesIO()
    write_po(file, catalog, width=120, omit_header=False, sort_by_file=True)
    lines = file.getvalue().decode().splitlines(keepends=True)
    # What only says when and by whom a file was written would differ each time.
    changing = ('"POT-Creation-Date:', '"PO-Revision-Date:', '"Last-Translator:', '"Generated-By:', '"Report-Msgid-')
    return "".join(line for line in lines if not line.startswith(changing)).encode()


def compiled(catalog: Catalog) -> bytes:
    """Return a catalogue as it is read at work."""
    # The header has these; a file that is made again shall be the same.
    catalog.creation_date = catalog.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def faults(catalog: Catalog) -> list[str]:
    """Return what is wrong with translations: missing ones, guesses, placeholders other than those of the text."""
    found = []
    for message in catalog:
        if not message.id:
            continue
        shown = message.id[0] if isinstance(message.id, tuple) else message.id
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if not all(strings):
            found.append(f"missing: {shown!r}")
        elif message.fuzzy:
            found.append(f"fuzzy: {shown!r}")
        elif any(placeholders(string) != _wanted(message) for string in strings):
            found.append(f"other placeholders: {shown!r}")
    return found


def _wanted(message: Message) -> set[str]:
    ids = message.id if isinstance(message.id, tuple) else (message.id,)
    return set().union(*map(placeholders, ids))


def placeholders(text: str) -> set[str]:
    """Return what is put into a text, with how it is formatted."""
    return {f"{name}:{how}" for _literal, name, how, _conversion in Formatter().parse(text) if name is not None}
