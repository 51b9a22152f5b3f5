"""Verdicts in words: the headline, the evidence, what a trim settled."""

from __future__ import annotations

from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.leaks.findings import Finding, GrowthParts
from services.memory.leaks.growth import Doubt
from services.memory.leaks.readings import Measure
from services.memory.leaks.types import LeakKind, Verdict, VerdictState
from services.memory.leaks.windows import WindowTrend
from services.memory.types import Series

# Seconds that a process must be watched before anything but a fast leak is reported.
LEAST_WATCHED = 600.0
HOUR_SECONDS = 3600.0
# A limit that is reached later than this is not mentioned.
FARTHEST_LIMIT_SECONDS = 100 * 86_400.0


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence, such as "Flat for 6 h: 641 MB, +0.2 MB/h (−0.4 to 0.7)"."""
    if verdict.state is VerdictState.UNKNOWN:
        return _("Too little data yet: {done} of {needed} min").format(
            done=int(verdict.window_seconds // 60), needed=int(LEAST_WATCHED // 60)
        )
    values = {
        "kind": kind_name(verdict.kind),
        "window": duration_text(verdict.window_seconds),
        "level": size_text(verdict.level_bytes),
        "growth": growth_text(verdict),
    }
    if verdict.state is VerdictState.FLAT:
        if verdict.window_seconds < HOUR_SECONDS:
            values["growth"] = _change_text(verdict)
        return _("Flat for {window}: {level}, {growth}").format(**values)
    if verdict.state is VerdictState.WATCH:
        return _("Watch {kind}: {growth} for {window}, {level}").format(**values) + _limit_text(verdict)
    return _("Leak of {kind}: {growth} for {window}, {level}").format(**values) + _limit_text(verdict)


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


def growth_text(verdict: Verdict) -> str:
    """Return growth per hour with its interval, such as "+30 MB/h (28 to 32)"."""
    slope = verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (slope, slope)
    if is_counted(verdict.kind):
        return _("{slope} an hour ({low} to {high})").format(
            slope=number_text(slope, signed=True), low=number_text(low), high=number_text(high)
        )
    return _("{slope} MB/h ({low} to {high})").format(
        slope=number_text(slope / MEGABYTE, signed=True),
        low=number_text(low / MEGABYTE),
        high=number_text(high / MEGABYTE),
    )


def _change_text(verdict: Verdict) -> str:
    """Return the growth within the window itself: extrapolated to an hour, minutes would say too much."""
    share = verdict.window_seconds / HOUR_SECONDS / MEGABYTE
    slope = verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (slope, slope)
    return _("{change} MB in that time ({low} to {high})").format(
        change=number_text(slope * share, signed=True), low=number_text(low * share), high=number_text(high * share)
    )


def size_text(amount: float) -> str:
    """Return bytes in MB, from 10,000 MB in GB."""
    if amount >= 10_000 * MEGABYTE:
        return _("{amount} GB").format(amount=f"{amount / MEGABYTE / 1024:.1f}")
    return _("{amount} MB").format(amount=f"{amount / MEGABYTE:.0f}")


def duration_text(seconds: float) -> str:
    """Return a duration in the largest unit that gives at least two."""
    if seconds < 120:
        return _("{count} s").format(count=f"{seconds:.0f}")
    if seconds < 7200:
        return _("{count} min").format(count=f"{seconds / 60:.0f}")
    if seconds < 172_800:
        return _("{count} h").format(count=f"{seconds / 3600:.0f}")
    return _("{count} days").format(count=f"{seconds / 86400:.0f}")


def number_text(value: float, *, signed: bool = False) -> str:
    """Return a number with one decimal below 10 and a real minus sign."""
    text = f"{abs(value):,.1f}" if abs(value) < 9.95 else f"{abs(value):,.0f}"
    if not float(text.replace(",", "")):
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def _limit_text(verdict: Verdict) -> str:
    if verdict.seconds_to_limit is None or verdict.seconds_to_limit > FARTHEST_LIMIT_SECONDS:
        return ""
    return _("; limit in {time}").format(time=duration_text(verdict.seconds_to_limit))
