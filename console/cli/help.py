"""The help of the command line in the language of the terminal; click's own words ("Usage", "Options") are English."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from services.core.i18n import Text, localized, translated


def help_texts(command: click.Command) -> Iterator[str]:
    """Yield the texts of a command and of those below it, as they are written."""
    if command.help:
        yield inspect.cleandoc(command.help)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            yield parameter.help
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from help_texts(below)


def translate_help(command: click.Command) -> None:
    """Put the texts of a command, and of those below it, into the reader's language."""
    if command.help:
        command.help = _spoken(inspect.cleandoc(command.help) if type(command.help) is str else command.help)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            parameter.help = _spoken(parameter.help)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            translate_help(below)


def _spoken(text: str) -> str:
    return localized(text) if isinstance(text, Text) else translated(text)
