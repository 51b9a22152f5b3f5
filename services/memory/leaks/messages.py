"""A verdict in one sentence."""

from __future__ import annotations

from services.core.i18n import _
from services.memory.leaks.types import LeakKind, Verdict, VerdictState

MB = 2.0**20
# How long a process must be watched before anything but a fast leak is said.
LEAST_WATCHED = 600.0
AN_HOUR = 3600.0
# A limit further away than this many seconds is not worth a word.
FAR_AWAY = 100 * 86_400.0


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence, such as "Flat for 6 h: 641 MB, +0.2 MB/h (−0.4 to 0.7)"."""
    if verdict.state is VerdictState.UNKNOWN:
        return _("Too little data yet: {done} of {needed} min").format(
            done=int(verdict.window // 60), needed=int(LEAST_WATCHED // 60)
        )
    values = {
        "kind": kind_name(verdict.kind),
        "window": duration(verdict.window),
        "level": size(verdict.level),
        "growth": growth(verdict),
    }
    if verdict.state is VerdictState.FLAT:
        if verdict.window < AN_HOUR:
            values["growth"] = _change(verdict)
        return _("Flat for {window}: {level}, {growth}").format(**values)
    if verdict.state is VerdictState.WATCH:
        return _("Watch {kind}: {growth} for {window}, {level}").format(**values) + _limit(verdict)
    return _("Leak of {kind}: {growth} for {window}, {level}").format(**values) + _limit(verdict)


def said_of_trim(watched: Verdict, given_back: int) -> str:
    """Say what a trim settles that gave `given_back` bytes back while the verdict was `watched`."""
    amount = size(max(0, given_back))
    if watched.kind is not LeakKind.RETENTION:
        return _("The allocator gave back {amount}.").format(amount=amount)
    grown = (watched.slope_per_hour or 0.0) * watched.window / 3600
    if given_back >= 0.5 * grown:
        return _("The allocator gave back {amount}: it had kept freed memory, nothing leaks.").format(amount=amount)
    return _(
        "The allocator gave back only {amount} of {grown}: the rest lies between blocks in use or was mapped by others."
    ).format(amount=amount, grown=size(grown))


def kind_name(kind: LeakKind | None) -> str:
    """Return what grows, in words that fit after "leak of"."""
    names = {
        LeakKind.PYTHON: _("Python objects"),
        LeakKind.NATIVE: _("native memory"),
        LeakKind.RETENTION: _("memory kept by the allocator"),
        LeakKind.THREADS: _("threads"),
        LeakKind.DESCRIPTORS: _("file descriptors"),
        LeakKind.GPU: _("GPU memory"),
    }
    return names[kind] if kind is not None else _("memory")


def counted(kind: LeakKind | None) -> bool:
    """Whether a kind is counted and not measured in bytes."""
    return kind in {LeakKind.THREADS, LeakKind.DESCRIPTORS}


def growth(verdict: Verdict) -> str:
    """Return growth per hour with its interval, such as "+30 MB/h (28 to 32)"."""
    slope = verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (slope, slope)
    if counted(verdict.kind):
        return _("{slope} an hour ({low} to {high})").format(
            slope=number(slope, signed=True), low=number(low), high=number(high)
        )
    return _("{slope} MB/h ({low} to {high})").format(
        slope=number(slope / MB, signed=True), low=number(low / MB), high=number(high / MB)
    )


def _change(verdict: Verdict) -> str:
    """Return what came on top within the window: minutes, counted up to an hour, would say too much."""
    share = verdict.window / AN_HOUR / MB
    slope = verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (slope, slope)
    return _("{change} MB in that time ({low} to {high})").format(
        change=number(slope * share, signed=True), low=number(low * share), high=number(high * share)
    )


def size(amount: float) -> str:
    """Return bytes in MB, from 10,000 MB in GB."""
    if amount >= 10_000 * MB:
        return _("{amount} GB").format(amount=f"{amount / MB / 1024:.1f}")
    return _("{amount} MB").format(amount=f"{amount / MB:.0f}")


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that gives at least two."""
    if seconds < 120:
        return _("{count} s").format(count=f"{seconds:.0f}")
    if seconds < 7200:
        return _("{count} min").format(count=f"{seconds / 60:.0f}")
    if seconds < 172_800:
        return _("{count} h").format(count=f"{seconds / 3600:.0f}")
    return _("{count} days").format(count=f"{seconds / 86400:.0f}")


def number(value: float, *, signed: bool = False) -> str:
    """Return a number with one decimal below 10 and a real minus sign."""
    text = f"{abs(value):,.1f}" if abs(value) < 9.95 else f"{abs(value):,.0f}"
    if not float(text.replace(",", "")):
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def _limit(verdict: Verdict) -> str:
    if verdict.seconds_to_limit is None or verdict.seconds_to_limit > FAR_AWAY:
        return ""
    return _("; limit in {time}").format(time=duration(verdict.seconds_to_limit))
