"""What stands below a verdict, in words: the evidence, and what a trim settled."""

from __future__ import annotations

from services.core.i18n import _
from services.memory.leaks.findings import Finding, GrowthParts
from services.memory.leaks.growth import Doubt
from services.memory.leaks.readings import Measure
from services.memory.leaks.types import LeakKind, Verdict
from services.memory.leaks.windows import WindowTrend
from services.memory.leaks.wording import duration_text, number_text, size_text
from services.memory.types import Series


def evidence(found: Finding) -> list[str]:
    """Return sentences on how much grew, what speaks against a leak so far, and which part of the memory it was."""
    return _growth_evidence(found.trend, found.measure, found.kind) + _parts_evidence(found.parts, found.kind)


def _growth_evidence(trend: WindowTrend, measure: Measure, kind: LeakKind) -> list[str]:
    grown, window = trend.growth.grown, duration_text(trend.window)
    if is_counted(kind):
        sentences = [
            _("The lowest count rose by {count} within {window}.").format(count=number_text(grown), window=window)
        ]
    else:
        name = _("live bytes") if measure.series is Series.LIVE else str(measure.series)
        sentences = [
            _("The floor of {series} rose by {amount} within {window}, continuously and not in single steps.").format(
                series=name, amount=size_text(grown), window=window
            )
        ]
    return sentences + [
        _doubt_texts()[doubt] for doubt in Doubt if doubt in trend.growth.doubts and doubt in _doubt_texts()
    ]


def _doubt_texts() -> dict[Doubt, str]:
    return {
        Doubt.SMALL: _("That is still little: a cache that fills looks the same for as long."),
        Doubt.SLOWING: _("It slows down, as a cache does that fills up."),
        Doubt.EXPLAINED: _("The index, the models and bounded caches account for it."),
        Doubt.CYCLES: _("No full collection has checked it yet."),
        Doubt.UNCONFIRMED: _("Seen in one window so far; a second one decides."),
        Doubt.RETAINED: _("What is in use does not grow: the allocator keeps freed memory. Trim and check again."),
    }


def _parts_evidence(parts: GrowthParts, kind: LeakKind) -> list[str]:
    sentences = []
    if parts.live is not None and parts.small is not None and kind in {LeakKind.PYTHON, LeakKind.NATIVE}:
        sentences.append(
            _("Of {live} more in use, {small} are small Python objects.").format(
                live=size_text(parts.live), small=size_text(max(0.0, parts.small))
            )
        )
        if parts.large is not None:
            sentences.append(
                _("Python objects over 512 bytes grew by {large} in the censuses.").format(
                    large=size_text(max(0.0, parts.large))
                )
            )
    if parts.rss is not None and parts.live is not None and kind is LeakKind.RETENTION:
        sentences.append(
            _("RSS grew by {rss}, bytes in use by {live}.").format(
                rss=size_text(max(0.0, parts.rss)), live=size_text(max(0.0, parts.live))
            )
        )
    return sentences


def trim_message(watched: Verdict, given_back: int) -> str:
    """Return what a trim that gave back `given_back` bytes says about the verdict `watched`."""
    amount = size_text(max(0, given_back))
    if watched.kind is not LeakKind.RETENTION:
        return _("The allocator gave back {amount}.").format(amount=amount)
    grown = (watched.slope_per_hour or 0.0) * watched.window_seconds / 3600
    if given_back >= 0.5 * grown:
        return _("The allocator gave back {amount}: it had kept freed memory, nothing leaks.").format(amount=amount)
    return _(
        "The allocator gave back only {amount} of {grown}: the rest lies between blocks in use or was mapped by others."
    ).format(amount=amount, grown=size_text(grown))


def kind_name(kind: LeakKind | None) -> str:
    """Return what grows, as a noun that fits after "leak of"."""
    names = {
        LeakKind.PYTHON: _("Python objects"),
        LeakKind.NATIVE: _("native memory"),
        LeakKind.RETENTION: _("memory kept by the allocator"),
        LeakKind.THREADS: _("threads"),
        LeakKind.DESCRIPTORS: _("file descriptors"),
        LeakKind.GPU: _("GPU memory"),
    }
    return names[kind] if kind is not None else _("memory")


def is_counted(kind: LeakKind | None) -> bool:
    """Whether a kind is counted and not measured in bytes."""
    return kind in {LeakKind.THREADS, LeakKind.DESCRIPTORS}
