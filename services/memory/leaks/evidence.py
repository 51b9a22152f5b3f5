"""The evidence for a verdict in plain sentences."""

from __future__ import annotations

from services.memory.leaks.finding import Finding
from services.memory.leaks.growth import Doubt
from services.memory.leaks.kinds import Parts
from services.memory.leaks.scales import Measure
from services.memory.leaks.types import LeakKind
from services.memory.leaks.watching import Look
from services.memory.leaks.wording import counted, duration, number, size
from services.memory.types import Series
from services.texts import _


def of(found: Finding) -> list[str]:
    """Say how much grew, what speaks against a leak so far, and which part of the memory it was."""
    return _of_growth(found.look, found.measure, found.kind) + _of_parts(found.parts, found.kind)


def _of_growth(look: Look, measure: Measure, kind: LeakKind) -> list[str]:
    grown, window = look.growth.grown, duration(look.window)
    if counted(kind):
        said = [_("The lowest count rose by {count} within {window}.").format(count=number(grown), window=window)]
    else:
        name = _("live bytes") if measure.series is Series.LIVE else str(measure.series)
        said = [
            _("The floor of {series} rose by {amount} within {window}, all along and not in single steps.").format(
                series=name, amount=size(grown), window=window
            )
        ]
    return said + [_doubt_names()[doubt] for doubt in Doubt if doubt in look.growth.doubts and doubt in _doubt_names()]


def _doubt_names() -> dict[Doubt, str]:
    return {
        Doubt.SMALL: _("That is still little: a cache that fills looks the same for as long."),
        Doubt.SLOWING: _("It slows down, as what fills up does."),
        Doubt.EXPLAINED: _("It is what the index, the models and bounded caches were given to hold."),
        Doubt.CYCLES: _("No full collection has looked at it yet."),
        Doubt.UNCONFIRMED: _("Seen in one window so far; a second one decides."),
        Doubt.RETAINED: _("What is in use does not grow: the allocator keeps freed memory. Trim and look again."),
    }


def _of_parts(parts: Parts, kind: LeakKind) -> list[str]:
    said = []
    if parts.live is not None and parts.small is not None and kind in {LeakKind.PYTHON, LeakKind.NATIVE}:
        said.append(
            _("Of {live} more in use, {small} are small Python objects.").format(
                live=size(parts.live), small=size(max(0.0, parts.small))
            )
        )
        if parts.large is not None:
            said.append(
                _("Python objects over 512 bytes grew by {large} in the censuses.").format(
                    large=size(max(0.0, parts.large))
                )
            )
    if parts.rss is not None and parts.live is not None and kind is LeakKind.RETENTION:
        said.append(
            _("RSS grew by {rss}, bytes in use by {live}.").format(
                rss=size(max(0.0, parts.rss)), live=size(max(0.0, parts.live))
            )
        )
    return said
